"""``peerage doctor``: one line for each thing that was examined, JSON for programs, and the exit codes."""

import json

import pytest

from peerage.cli.doctor import doctor
from peerage.cli.run import CommandError
from peerage.registry import open_registry
from peerage.testing import eventually
from peerage.testing.harness import closing, registered

URL = "memory:doctor"


async def told(
    capsys: pytest.CaptureFixture[str], *records: bytes, as_object: bool = False
) -> tuple[int, str]:
    """Exit code and output for a registry with *records*; nothing is asked of the instances."""
    async with closing(open_registry(URL)) as (registry,):
        for record in records:
            await registered(registry, "Stranger", record)
        code = await doctor(URL, None, probe=False, timeout=5.0, as_object=as_object)
    return code, capsys.readouterr().out


async def test_a_healthy_registry_ends_with_0(peerage, serve):
    """And says what was examined."""
    await serve("shop-1")
    # A service may answer too late on a busy machine.
    result = await eventually(lambda: peerage("doctor"), "health", wanted=lambda result: result.code == 0)
    assert result.err == ""
    assert result.out.splitlines()[-1].endswith(": all is well.")
    assert "1 port answers where the records say." in result.out


async def test_findings_end_with_1_and_say_what_to_do(peerage, serve):
    await serve("", "[1]", '{"host": "127.0.0.1", "service_id": "dead", "web": [["0.0.0.0", 1]]}')
    result = await peerage("doctor")
    assert (result.code, result.err) == (1, "")
    assert result.out.startswith("problem")
    assert "accepts no connection" in result.out
    assert "To do: Start the service again" in result.out
    assert ": 2 problems" in result.out.splitlines()[-1]


async def test_wrong_usage_ends_with_2(peerage):
    result = await peerage("doctor", "carrier-pigeon:")
    assert (result.code, result.out) == (2, "")
    assert "carrier-pigeon" in result.err
    with pytest.raises(CommandError, match="named twice") as raised:
        await doctor(URL, URL, probe=False, timeout=5.0, as_object=False)
    assert raised.value.code == 2


async def test_an_empty_registry_is_no_problem(capsys):
    code, out = await told(capsys)
    assert code == 0
    assert "The registry has no records" in out


async def test_json_has_the_documented_fields(capsys):
    code, out = await told(capsys, b"[1]", as_object=True)
    found = json.loads(out)
    assert code == 1
    assert found.keys() == {"schema", "registry", "well", "findings"}
    assert (found["schema"], found["registry"], found["well"]) == (1, URL, False)
    [problem] = [one for one in found["findings"] if one["severity"] == "problem"]
    assert problem.keys() == {"check", "severity", "subject", "what", "todo"}
    assert (problem["check"], problem["subject"][:9]) == ("record", "Stranger.")


async def test_many_findings_of_one_kind_are_counted(capsys):
    """JSON has all of them."""
    code, out = await told(capsys, *[b"[1]"] * 12)
    assert code == 1
    assert out.count("can't be read") == 10
    assert "and 2 more of this kind: --json shows them all." in out
    assert (await told(capsys, *[b"[1]"] * 12, as_object=True))[1].count("can't be read") == 12


async def test_a_hostile_record_is_escaped(capsys):
    record = {"host": "h\x1b[31m", "service_id": "\x1b]0;pwned\x07", "web": [["0.0.0.0", 1]]}
    _, out = await told(capsys, json.dumps(record).encode())
    assert "pwned" in out
    assert out.replace("\n", "").isprintable()
