"""``peerage ls``."""

import json
import signal
import sys

import pytest
from tests.cli.conftest import close_output, ended, interrupted

from peerage import __version__
from peerage.testing.children import run

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


async def test_an_empty_registry_says_what_to_do(peerage):
    result = await peerage("ls")
    assert (result.code, result.out) == (0, "")
    assert "No instance is advertised in embedded:" in result.err
    assert "peerage demo" in result.err
    assert json.loads((await peerage("ls", "--json")).out) == []


async def test_the_table_and_the_json_have_every_instance_sorted(peerage, serve):
    urls = [(await serve(name)).url for name in ("shop-2", "shop-1", "cart-1")]
    result = await peerage("ls")
    head, *rows = result.out.splitlines()
    assert head.split() == ["SERVICE", "INSTANCE", "HOST", "URLS", "APPCLASS", "STATE", "SINCE", "IDS"]
    assert [row.split()[:6] for row in rows] == [
        ["cart", "cart-1", "node-1.example", urls[2], "Shop", "ready"],
        ["shop", "shop-1", "node-1.example", urls[1], "Shop", "ready"],
        ["shop", "shop-2", "node-1.example", urls[0], "Shop", "ready"],
    ]
    assert all(row.endswith("shard=1 shard=2") for row in rows)
    assert (result.code, result.err) == (0, "")

    result = await peerage("ls", "--json")
    entry = json.loads(result.out)[1]
    assert entry["name"].startswith("Shop.")
    assert (entry["state"], entry["superseded"], entry["urls"], entry["problems"]) == (
        "ready",
        False,
        [urls[1]],
        [],
    )
    assert entry["record"]["discovery"] == {"shard": [1, 2]}
    assert (result.code, result.err) == (0, "")


async def test_states_are_distinguished(peerage, serve):
    twins = ['{"host": "h", "instance_id": "twin", "web": [["0.0.0.0", 80]]}'] * 2
    await serve("", '{"host": "h", "instance_id": "mute"}', *twins, "[1]")
    shown = await peerage("ls")
    table = shown.out
    assert (table.count("not callable"), table.count("ready, superseded")) == (1, 1)
    assert "give each its own" in table
    entries = json.loads((await peerage("ls", "--json")).out)
    states = sorted((entry["state"], entry["superseded"]) for entry in entries)
    assert states == [("not callable", False), ("ready", False), ("ready", True), ("unreadable", False)]
    # What can't be used is shown once: below the table, and not by the log as well.
    assert shown.out.count("a JSON list instead of an object") == 1
    assert shown.err == ""
    [entry] = [entry for entry in entries if entry["record"] is None]
    assert entry["problems"] == ["The record is a JSON list instead of an object."]


async def test_a_hostile_record_is_escaped_on_the_terminal_and_valid_json(peerage, serve):
    await serve("", HOSTILE)
    result = await peerage("ls")
    assert result.out.replace("\n", "").isprintable()
    assert "\\x1b]0;pwned\\x07[bold red]evil[/]" in result.out
    assert "two\\nlines\\u202e" in result.out
    assert "A" * 200 not in result.out
    text = (await peerage("ls", "--json")).out
    assert text.isascii()

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    [entry] = json.loads(text, parse_constant=refuse)
    assert entry["record"]["instance_id"] == "two\nlines\u202e\x9b31m"
    assert entry["record"]["weird"] is None


@pytest.mark.parametrize("option", ["--json", "--watch"])
async def test_it_ends_quietly_when_its_output_is_closed(started, serve, option):
    await serve("", *['{"host": "h", "web": [["0.0.0.0", 1]], "pad": "' + "x" * 60_000 + '"}'] * 3)
    running = await started("ls", option)
    close_output(running)
    if option == "--watch":
        # It notices when it has something to write.
        await serve("shop-1")
    result = await ended(running)
    assert (result.code, result.err) == (128 + signal.SIGPIPE, "")


async def test_watch_writes_a_line_for_each_change(started, serve):
    url = (await serve("shop-1")).url
    running = await started("ls", "--watch")
    assert (await running.line()).split()[:5] == ["joined", "shop", "shop-1", "node-1.example", url]
    second = await serve("shop-2")
    assert (await running.line()).split()[:3] == ["joined", "shop", "shop-2"]
    await second.tell("drain")
    assert (await running.line()).split()[0] == "changed"
    await second.kill()
    assert (await running.line()).split()[:3] == ["left", "shop", "shop-2"]
    assert await interrupted(running) == (130, "", "")


async def test_watch_json_writes_an_object_for_each_change(started, serve):
    service = await serve("shop-1")
    running = await started("ls", "--watch", "--json")
    joined = json.loads(await running.line())
    await service.tell("drain")
    changed = json.loads(await running.line())
    await serve("", "[1]")
    problem = json.loads(await running.line())
    await service.kill()
    left = json.loads(await running.line())
    assert [event["event"] for event in (joined, changed, problem, left)] == [
        "joined",
        "changed",
        "problem",
        "left",
    ]
    assert (changed["state"], changed["before"]["state"]) == ("draining", "ready")
    assert joined["name"] == changed["name"] == left["name"]
    assert await interrupted(running) == (130, "", "")


@pytest.mark.long
async def test_the_lines_of_watch_add_up_to_ls(peerage, started, serve):
    """Those of records that a newer one supersedes, or that can't be read, as well."""
    running = await started("ls", "--watch", "--json")
    rows = {}

    async def until_as_listed(count):
        wanted = {entry["name"]: entry for entry in json.loads((await peerage("ls", "--json")).out)}
        assert len(wanted) == count
        while rows != wanted:
            event = json.loads(await running.line())
            event.pop("before", None)
            if event.pop("event") == "left":
                del rows[event["name"]]
            else:
                rows[event["name"]] = event

    twin = '{"host": "h", "web": [["0.0.0.0", 80]], "instance_id": "twin", "launch_time": "%s"}'
    first, service = await serve("", twin % 1, '{"host": 1}'), await serve("shop-1")
    await until_as_listed(3)
    second = await serve("", twin % 2)
    await service.tell("drain")
    await until_as_listed(4)
    assert sorted(row["superseded"] for row in rows.values()) == [False, False, False, True]
    await first.kill()
    await until_as_listed(2)
    await second.kill()
    await service.kill()
    await until_as_listed(0)


async def test_sigterm_ends_it(started, serve):
    await serve("shop-1")
    running = await started("ls", "--watch")
    await running.line()
    running.signal(signal.SIGTERM)
    assert await ended(running) == (128 + signal.SIGTERM, "", "")


@pytest.mark.parametrize("args", [("ls",), ("get", "http://a.service_id.asab/")])
async def test_an_unusable_registry_url_is_one_sentence(peerage, args):
    result = await peerage(*args, "--registry", "carrier-pigeon:")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("peerage: ")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("args", [("ls", "--watch"), ("locate", "a=b")])
async def test_a_registry_out_of_reach_is_one_sentence(peerage, args):
    registry = "zookeeper://127.0.0.1:1/asab"  # no server listens there
    result = await peerage(*args, "--timeout", "0.2", "--registry", registry)
    assert (result.code, result.out) == (5, "")
    assert result.err.startswith("peerage: ")
    assert "Traceback" not in result.err


@pytest.mark.parametrize(("where", "code"), [(">&-", 0), (">/dev/full", 1)])
async def test_a_failed_write_is_reported_without_a_traceback(where, code):
    async with run("sh", "-c", f'"$0" -m peerage ls --json {where}', sys.executable) as child:
        assert (await ended(child)).code == code
    assert child.log == ("peerage: No space left on device: the output\n" if code else "")


async def test_a_missing_extra_is_reported_with_the_pip_command():
    # None in sys.modules is how Python spells a module that can't be imported.
    code = "import sys; sys.modules['rich'] = None; from peerage.cli import main; sys.exit(main())"
    async with run(sys.executable, "-c", code) as child:
        assert await ended(child) == (
            7,
            "",
            "peerage: The command line needs the package 'rich': pip install 'peerage[cli]'\n",
        )


async def test_criteria_select_the_instances(peerage, serve):
    """All must match; records that can't be called are shown as well."""
    for name in ("shop-1", "shop-2", "cart-1"):
        await serve(name)
    await serve("", '{"host": "h", "service_id": "shop", "instance_id": "mute"}', "[1]")
    result = await peerage("ls", "service-id=SHOP", "shard=1")
    assert [line.split()[1] for line in result.out.splitlines()] == ["INSTANCE", "shop-1", "shop-2"]
    entries = json.loads((await peerage("ls", "--json", "instance_id=mute")).out)
    assert [entry["state"] for entry in entries] == ["not callable"]


async def test_no_match_has_a_code_and_suggests_the_nearest_key(peerage, serve):
    await serve("shop-1")
    result = await peerage("ls", "servce_id=shop")
    assert (result.code, result.out) == (3, "")
    assert "Did you mean service_id=" in result.err


async def test_watch_shows_only_what_matches(started, serve):
    running = await started("ls", "--watch", "service_id=shop")
    await serve("cart-1")
    await serve("shop-1")
    assert (await running.line()).split()[:3] == ["joined", "shop", "shop-1"]
    assert await interrupted(running) == (130, "", "")


async def test_a_folder_that_cannot_be_read_is_reported_at_once_and_once(peerage, folder):
    """Waiting wouldn't change it."""
    (folder / "registry").write_text("not a folder")
    for args in (("ls",), ("ls", "--watch"), ("locate", "a=b"), ("demo", "--registry", "embedded:")):
        options = () if args[0] == "demo" else ("--timeout", "600")
        result = await peerage(*args, *options)
        assert (result.code, result.out) == (5, "")
        assert result.err.count("\n") == 1


async def test_the_version(peerage):
    result = await peerage("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"peerage {__version__}, ")
