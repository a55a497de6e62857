"""``peerage get``."""

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.cli.conftest import close_output, command, ended, interrupted

from peerage import Discovery
from peerage.cli.get import get_url
from peerage.cli.run import CommandError, Exit
from peerage.testing import eventually

URL = "http://shop.service_id.asab/echo"


async def test_a_service_is_called_by_name_and_an_unknown_name_has_its_own_code(peerage, serve):
    await serve("shop-1")
    result = await peerage("get", URL)
    assert (result.code, result.err) == (0, "")
    answer = json.loads(result.out)
    assert (answer["method"], answer["headers"]["Host"]) == ("GET", "shop.service_id.asab")
    result = await peerage("get", "http://cart.service_id.asab/")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("peerage: ")
    assert result.err.count("\n") == 1


async def test_method_headers_and_data_are_sent(peerage, serve, folder):
    await serve("shop-1")

    async def sent(*args: str, stdin: str | None = None) -> dict:
        return json.loads((await peerage("get", URL, *args, stdin=stdin)).out)

    answer = await sent("-X", "put", "-d", "päy", "-H", "Content-Type: text/plain", "-H", "X-Many: a: b")
    assert (answer["method"], answer["body"]) == ("PUT", "päy")
    assert (answer["headers"]["Content-Type"], answer["headers"]["X-Many"]) == ("text/plain", "a: b")
    (folder / "body").write_text("from a file")
    answer = await sent("-d", f"@{folder / 'body'}")
    assert (answer["method"], answer["body"]) == ("POST", "from a file")
    assert (await sent("-d", "@-", stdin="from stdin"))["body"] == "from stdin\n"


async def test_a_binary_answer_is_not_changed(serve):
    await serve("shop-1")
    argv = command("get", "http://shop.service_id.asab/big")
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=True)
    out = done.stdout
    assert out == bytes(range(256)) * 4096


async def test_the_exit_code_depends_on_the_status(peerage, serve):
    await serve("shop-1")
    for status, code in (("201", 0), ("307", 0), ("404", 6)):
        result = await peerage("get", f"{URL}?status={status}")
        assert result.code == code
        assert json.loads(result.out)["method"] == "GET"
        assert result.err.startswith(f"peerage: {status} ") == bool(code)


async def test_headers_are_shown_and_redirects_followed_if_asked(peerage, serve):
    await serve("shop-1")
    result = await peerage("get", "-i", URL)
    assert result.err.startswith("peerage: 200 OK\n")
    assert "peerage: X-By: shop-1\n" in result.err
    assert json.loads(result.out)
    result = await peerage("get", "-L", f"{URL}?status=302")
    assert result.code == 6
    assert result.err == "peerage: 404 Not Found\n"


async def test_an_instance_that_is_not_there_has_its_own_code(peerage, serve, free_port):
    await serve("", f'{{"host": "127.0.0.1", "service_id": "ghost", "web": [["0.0.0.0", {free_port}]]}}')
    result = await peerage("get", "http://ghost.service_id.asab/")
    assert (result.code, result.out) == (4, "")
    assert result.err.startswith("peerage: ")
    assert "Traceback" not in result.err


async def test_an_ordinary_url_without_a_server_is_a_sentence(peerage, free_port):
    result = await peerage("get", f"http://127.0.0.1:{free_port}/")
    assert (result.code, result.out) == (4, "")
    assert result.err.count("\n") == 1


async def test_a_call_without_an_answer_ends_at_the_time_limit(peerage, serve):
    await serve("shop-1")
    result = await peerage("get", "http://shop.service_id.asab/never", "--timeout", "0.3")
    assert (result.code, result.out) == (4, "")
    assert "Traceback" not in result.err


async def test_ctrl_c_ends_a_call(started, serve):
    service = await serve("shop-1")
    running = await started("get", "http://shop.service_id.asab/never")
    assert await service.line() == "asked"
    assert await interrupted(running) == (130, "", "")


def has_open(pid, file):
    """Whether the process has *file* open."""
    return any(entry.resolve() == file.resolve() for entry in Path(f"/proc/{pid}/fd").iterdir())


async def test_ctrl_c_ends_waiting_for_data(started, folder):
    fifo = folder / "data"
    os.mkfifo(fifo)
    running = await started("get", "http://shop.service_id.asab/echo", "-d", f"@{fifo}")
    with await asyncio.to_thread(fifo.open, "w"):  # waits until it is opened for reading
        process = psutil.Process(running.pid)
        # A signal before the read has begun would be another case.
        await eventually(
            lambda: has_open(running.pid, fifo) and process.status() == psutil.STATUS_SLEEPING, "the read"
        )
        assert await interrupted(running) == (130, "", "")


async def test_it_ends_quietly_when_its_output_is_closed(started, serve):
    await serve("shop-1")
    running = await started("get", "http://shop.service_id.asab/big")
    close_output(running)
    result = await ended(running)
    assert (result.code, result.err) == (128 + signal.SIGPIPE, "")


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
def test_an_impossible_request_is_wrong_usage(url, options):
    with pytest.raises(CommandError) as caught:
        get_url("memory:", url, timeout=1, **options)
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize("args", [[URL, "--timeout", "0"], [URL, "-H", "no colon"]])
async def test_wrong_usage_is_code_2(peerage, args):
    result = await peerage("get", *args)
    assert (result.code, result.out) == (2, "")
    assert result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("data", "options", "sent"),
    [
        ('{"a": 1}', [], "application/json"),
        (" [1]", [], "application/json"),
        ("{not json", [], "application/octet-stream"),
        ("12", [], "application/octet-stream"),
        ('{"a": 1}', ["-H", "content-type: text/plain"], "text/plain"),
    ],
)
async def test_a_json_body_is_sent_as_json(peerage, serve, data, options, sent):
    """Unless a header names another type."""
    await serve("shop-1")
    answer = json.loads((await peerage("get", URL, "-d", data, *options)).out)
    assert (answer["body"], answer["headers"]["Content-Type"]) == (data, sent)


async def test_an_unreadable_folder_ends_a_call_at_once(peerage, folder):
    """The reason is one line, whatever the time limit of the call."""
    (folder / "registry").write_text("not a folder")
    result = await peerage("get", URL, "--timeout", "600")
    assert (result.code, result.out) == (5, "")
    assert result.err.count("\n") == 1


async def test_a_refusal_by_zookeeper_ends_a_call_at_once(peerage, zookeeper):
    """Instead of the time that a registry has to answer."""
    path = f"{zookeeper.address}/refused-{os.getpid()}"
    async with Discovery(f"zookeeper://user:secret@{path}?acl=creator", service_id="shop") as discovery:
        await discovery.advertise(web=[("127.0.0.1", 80)])
        for command_line in (("get", URL), ("ls", "--timeout", "600")):
            result = await peerage(*command_line, "--registry", f"zookeeper://{path}")
            assert (result.code, result.out) == (5, "")
            assert "can't be read: reading " in result.err
            assert "is refused" in result.err


async def test_an_ordinary_url_needs_no_registry(peerage, folder, serve):
    url = (await serve("shop-1")).url
    broken = folder / "broken"
    broken.write_text("not a folder")
    result = await peerage("get", f"{url}/echo", "--registry", f"embedded://{broken}")
    assert (result.code, result.err) == (0, "")
