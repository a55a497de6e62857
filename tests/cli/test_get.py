"""``peerage get``."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from peerage.cli.get import get_url
from peerage.cli.run import CommandError, Exit

URL = "http://shop.service_id.asab/echo"


def test_a_service_is_called_by_name_and_an_unknown_one_has_a_code_of_its_own(peerage, serve):
    serve("shop-1").line()
    result = peerage("get", URL)
    assert (result.returncode, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    assert (answer["method"], answer["headers"]["Host"]) == ("GET", "shop.service_id.asab")
    result = peerage("get", "http://cart.service_id.asab/")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("peerage: ")
    assert result.stderr.count("\n") == 1


def test_method_headers_and_data_are_sent(peerage, serve, place):
    serve("shop-1").line()

    def sent(*args: str, stdin: str | None = None) -> dict:
        return json.loads(peerage("get", URL, *args, stdin=stdin).stdout)

    answer = sent("-X", "put", "-d", "päy", "-H", "Content-Type: text/plain", "-H", "X-Many: a: b")
    assert (answer["method"], answer["body"]) == ("PUT", "päy")
    assert (answer["headers"]["Content-Type"], answer["headers"]["X-Many"]) == ("text/plain", "a: b")
    (place / "body").write_text("from a file")
    answer = sent("-d", f"@{place / 'body'}")
    assert (answer["method"], answer["body"]) == ("POST", "from a file")
    assert sent("-d", "@-", stdin="from stdin")["body"] == "from stdin"


def test_bytes_pass_as_they_are(serve):
    serve("shop-1").line()
    argv = [sys.executable, "-m", "peerage", "get", "http://shop.service_id.asab/big"]
    out = subprocess.run(argv, capture_output=True, check=True).stdout
    assert out == bytes(range(256)) * 4096


def test_the_exit_code_says_success(peerage, serve):
    serve("shop-1").line()
    for status, code in (("201", 0), ("307", 0), ("404", 1)):
        result = peerage("get", f"{URL}?status={status}")
        assert result.returncode == code
        assert json.loads(result.stdout)["method"] == "GET"
        assert result.stderr.startswith(f"peerage: {status} ") == bool(code)


def test_headers_are_shown_and_redirects_followed_if_asked(peerage, serve):
    serve("shop-1").line()
    result = peerage("get", "-i", URL)
    assert result.stderr.startswith("peerage: 200 OK\n")
    assert "peerage: X-By: shop-1\n" in result.stderr
    assert json.loads(result.stdout)
    result = peerage("get", "-L", f"{URL}?status=302")
    assert result.returncode == 1
    assert result.stderr == "peerage: 404 Not Found\n"


def test_who_is_known_but_not_there_has_a_code_of_its_own(peerage, serve, free_port):
    serve("", f'{{"host": "127.0.0.1", "service_id": "ghost", "web": [["0.0.0.0", {free_port}]]}}').line()
    result = peerage("get", "http://ghost.service_id.asab/")
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr.startswith("peerage: ")
    assert "Traceback" not in result.stderr


def test_an_ordinary_url_that_nobody_serves_is_a_sentence(peerage, free_port):
    result = peerage("get", f"http://127.0.0.1:{free_port}/")
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr.count("\n") == 1


def test_an_answer_that_never_comes_ends_in_time(peerage, serve):
    serve("shop-1").line()
    result = peerage("get", "http://shop.service_id.asab/never", "--timeout", "0.3")
    assert (result.returncode, result.stdout) == (4, "")
    assert "Traceback" not in result.stderr


def test_ctrl_c_ends_a_call(started, serve):
    service = serve("shop-1")
    service.line()
    running = started("get", "http://shop.service_id.asab/never")
    assert service.line() == "asked"
    assert running.interrupt() == (130, "", "")


def wait_until_reads(pid, file):
    """Wait until the process has *file* open and sleeps: a signal in the moment before is another story."""
    deadline = time.monotonic() + 60
    process = psutil.Process(pid)
    while not (_has_open(pid, file) and process.status() == psutil.STATUS_SLEEPING):
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _has_open(pid, file):
    return any(entry.resolve() == file.resolve() for entry in Path(f"/proc/{pid}/fd").iterdir())


def test_ctrl_c_ends_waiting_for_data(started, place):
    fifo = place / "data"
    os.mkfifo(fifo)
    running = started("get", "http://shop.service_id.asab/echo", "-d", f"@{fifo}")
    with fifo.open("w"):  # waits until it is opened
        wait_until_reads(running.process.pid, fifo)
        assert running.interrupt() == (130, "", "")


def test_a_reader_that_goes_away_ends_it_quietly(started, serve):
    serve("shop-1").line()
    running = started("get", "http://shop.service_id.asab/big")
    running.process.stdout.close()
    assert running.process.wait(60) == 141
    assert running.process.stderr.read() == ""


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("shop.service_id.asab", {}),
        ("ftp://shop.service_id.asab/", {}),
        ("http://", {}),
        ("http://[oops/", {}),
        (URL, {"headers": ["no colon"]}),
        (URL, {"headers": ["X: a\r\nY: b"]}),
        (URL, {"method": "GE T"}),
        (URL, {"data": "@/nowhere/to/be/found"}),
    ],
)
def test_what_cannot_be_sent_is_wrong_usage(url, options):
    with pytest.raises(CommandError) as caught:
        get_url("memory:", url, timeout=1, **options)
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize("args", [[URL, "--timeout", "0"], [URL, "-H", "no colon"]])
def test_wrong_usage_is_code_2(peerage, args):
    result = peerage("get", *args)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr
    assert "Traceback" not in result.stderr
