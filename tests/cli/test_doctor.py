"""``peerage doctor``: one line for each thing that was examined, JSON for programs, and the exit codes."""

import json


async def test_a_healthy_registry_ends_with_0(peerage, serve):
    """And says what was examined."""
    await serve("shop-1")
    result = await peerage("doctor")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-1].endswith(": all is well.")
    assert "1 port answers where the records say." in result.out


async def test_an_empty_registry_is_no_problem(peerage):
    result = await peerage("doctor")
    assert (result.code, result.err) == (0, "")
    assert "The registry has no records" in result.out


async def test_findings_end_with_1_and_say_what_to_do(peerage, serve):
    await serve("", "[1]", '{"host": "127.0.0.1", "service_id": "dead", "web": [["0.0.0.0", 1]]}')
    result = await peerage("doctor")
    assert (result.code, result.err) == (1, "")
    head, *_ = result.out.splitlines()
    assert head.startswith("problem")
    assert "accepts no connection" in result.out
    assert "To do: Start the service again" in result.out
    assert result.out.splitlines()[-1].endswith("2 problems.")
    assert (await peerage("doctor", "--no-probe")).out.splitlines()[-1].endswith("1 problem.")


async def test_json_has_the_documented_fields(peerage, serve):
    await serve("", "[1]")
    result = await peerage("doctor", "--json")
    assert (result.code, result.err) == (1, "")
    found = json.loads(result.out)
    assert found.keys() == {"schema", "registry", "well", "findings"}
    assert (found["schema"], found["well"]) == (1, False)
    [problem] = [one for one in found["findings"] if one["severity"] == "problem"]
    assert problem.keys() == {"check", "severity", "subject", "what", "todo"}
    assert (problem["check"], problem["subject"][:9]) == ("record", "Stranger.")


async def test_many_findings_of_one_kind_are_counted(peerage, serve):
    await serve("", *["[1]"] * 12)
    result = await peerage("doctor")
    assert result.out.count("can't be read") == 10
    assert "and 2 more of this kind: --json shows them all." in result.out
    assert (await peerage("doctor", "--json")).out.count("can't be read") == 12


async def test_a_hostile_record_is_escaped(peerage, serve):
    await serve(
        "", json.dumps({"host": "h\x1b[31m", "service_id": "\x1b]0;pwned\x07", "web": [["0.0.0.0", 1]]})
    )
    result = await peerage("doctor")
    assert result.out.replace("\n", "").isprintable()


async def test_wrong_usage_ends_with_2(peerage):
    for args in (("carrier-pigeon:",), ("embedded:", "--registry", "embedded:"), ("--probe=yes",)):
        assert (await peerage("doctor", *args)).code == 2
