"""``peerage ls``."""

import json
import signal
import subprocess
import sys

import pytest

HOSTILE = json.dumps(
    {
        "host": "node-1",
        "service_id": "\x1b]0;pwned\x07[bold red]evil[/]",
        "instance_id": "two\nlines\u202e\x9b31m",
        "appclass": "A" * 3000,
        "web": [["0.0.0.0", 80], ["nonsense", 1]],
        "discovery": {"note": ["[link=http://x]y", "\ud800"]},
        "weird": float("nan"),
        "deep": json.loads("[" * 900 + "]" * 900),
    }
)


def test_an_empty_registry_says_what_to_do(peerage):
    result = peerage("ls")
    assert (result.returncode, result.stdout) == (0, "")
    assert "Nobody is advertised in embedded:" in result.stderr
    assert "peerage demo" in result.stderr
    assert json.loads(peerage("ls", "--json").stdout) == []


def test_the_table_and_the_json_have_every_instance_sorted(peerage, serve):
    urls = [serve(name).line() for name in ("shop-2", "shop-1", "cart-1")]
    result = peerage("ls")
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["SERVICE", "INSTANCE", "HOST", "URLS", "APPCLASS", "STATE", "SINCE", "IDS"]
    assert [row.split()[:6] for row in rows] == [
        ["cart", "cart-1", "node-1.example", urls[2], "Shop", "ready"],
        ["shop", "shop-1", "node-1.example", urls[1], "Shop", "ready"],
        ["shop", "shop-2", "node-1.example", urls[0], "Shop", "ready"],
    ]
    assert all(row.endswith("shard=1 shard=2") for row in rows)
    assert (result.returncode, result.stderr) == (0, "")

    result = peerage("ls", "--json")
    entry = json.loads(result.stdout)[1]
    assert entry["node"].startswith("Shop.")
    assert (entry["state"], entry["hidden"], entry["urls"], entry["problems"]) == (
        "ready",
        False,
        [urls[1]],
        [],
    )
    assert entry["record"]["discovery"] == {"shard": [1, 2]}
    assert (result.returncode, result.stderr) == (0, "")


def test_states_are_told_apart(peerage, serve):
    twins = ['{"host": "h", "instance_id": "twin", "web": [["0.0.0.0", 80]]}'] * 2
    serve("", '{"host": "h", "instance_id": "mute"}', *twins, "[1]").line()
    shown = peerage("ls")
    table = shown.stdout
    assert (table.count("not callable"), table.count("ready, hidden twin")) == (1, 1)
    entries = json.loads(peerage("ls", "--json").stdout)
    states = sorted((entry["state"], entry["hidden"]) for entry in entries)
    assert states == [("not callable", False), ("ready", False), ("ready", True), ("unusable", False)]
    # What can't be used is shown once: below the table, and not by the log as well.
    assert shown.stdout.count("a JSON list instead of an object") == 1
    assert shown.stderr == ""
    [entry] = [entry for entry in entries if entry["record"] is None]
    assert entry["problems"] == ["The record is a JSON list instead of an object."]


def test_a_hostile_record_is_escaped_on_the_terminal_and_valid_json(peerage, serve):
    serve("", HOSTILE).line()
    result = peerage("ls")
    assert result.stdout.replace("\n", "").isprintable()
    assert "\\x1b]0;pwned\\x07[bold red]evil[/]" in result.stdout
    assert "two\\nlines\\u202e" in result.stdout
    assert "A" * 200 not in result.stdout
    text = peerage("ls", "--json").stdout
    assert text.isascii()

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    [entry] = json.loads(text, parse_constant=refuse)
    assert entry["record"]["instance_id"] == "two\nlines\u202e\x9b31m"
    assert entry["record"]["weird"] is None


@pytest.mark.parametrize("option", ["--json", "--watch"])
def test_a_reader_that_goes_away_ends_it_quietly(started, serve, option):
    serve("", *['{"host": "h", "web": [["0.0.0.0", 1]], "pad": "' + "x" * 60_000 + '"}'] * 3).line()
    running = started("ls", option)
    running.process.stdout.close()
    if option == "--watch":
        # It notices when it has something to write.
        serve("shop-1").line()
    assert running.process.wait(60) == 128 + signal.SIGPIPE
    assert running.process.stderr.read() == ""


def test_watch_writes_a_line_for_each_change(started, serve):
    url = serve("shop-1").line()
    running = started("ls", "--watch")
    assert running.line().split()[:5] == ["joined", "shop", "shop-1", "node-1.example", url]
    second = serve("shop-2")
    assert running.line().split()[:3] == ["joined", "shop", "shop-2"]
    second.say("drain")
    assert running.line().split()[0] == "changed"
    second.kill()
    assert running.line().split()[:3] == ["left", "shop", "shop-2"]
    assert running.interrupt() == (130, "", "")


def test_watch_json_writes_an_object_for_each_change(started, serve):
    service = serve("shop-1")
    service.line()
    running = started("ls", "--watch", "--json")
    joined = json.loads(running.line())
    service.say("drain")
    changed = json.loads(running.line())
    serve("", "[1]").line()
    problem = json.loads(running.line())
    service.kill()
    left = json.loads(running.line())
    assert [event["event"] for event in (joined, changed, problem, left)] == [
        "joined",
        "changed",
        "problem",
        "left",
    ]
    assert (changed["state"], changed["before"]["state"]) == ("draining", "ready")
    assert joined["node"] == changed["node"] == left["node"]
    assert running.interrupt() == (130, "", "")


def test_another_signal_ends_it_as_well(started, serve):
    serve("shop-1").line()
    running = started("ls", "--watch")
    running.line()
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == (128 + signal.SIGTERM, "", "")


@pytest.mark.parametrize("args", [("ls",), ("get", "http://a.service_id.asab/")])
def test_an_unusable_registry_url_is_one_sentence(peerage, args):
    result = peerage(*args, "--registry", "carrier-pigeon:")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("peerage: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("args", [("ls", "--watch"), ("locate", "a=b")])
def test_a_registry_out_of_reach_is_one_sentence(peerage, place, args):
    (place / "registry").write_text("no folder")
    result = peerage(*args, "--timeout", "0.2")
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith("peerage: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("where", "code"), [(">&-", 0), (">/dev/full", 1)])
def test_what_cannot_be_written_is_no_traceback(where, code):
    argv = ["sh", "-c", f'"$0" -m peerage ls --json {where}', sys.executable]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert result.returncode == code
    assert result.stderr == ("peerage: No space left on device: the output\n" if code else "")


def test_a_missing_extra_is_the_pip_line():
    # None in sys.modules is how Python spells a module that can't be imported.
    code = "import sys; sys.modules['rich'] = None; from peerage.cli import main; sys.exit(main())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "peerage: The command line needs the package 'rich': pip install 'peerage[cli]'\n"
    )
