"""``peerage locate``."""

import json

import pytest

from peerage.cli.ls import parse_criteria
from peerage.cli.run import CommandError, Exit


async def test_the_urls_of_the_instances_that_match_all_criteria(peerage, serve):
    urls = sorted([(await serve(name)).url for name in ("shop-1", "shop-2")])
    await serve("cart-1")
    assert (await peerage("locate", "service_id=shop", "shard=2")).out.splitlines() == urls
    assert (await peerage("locate", "service-id=SHOP")).out.splitlines() == urls
    result = await peerage("locate", "service_id=shop", "--json")
    assert (result.code, json.loads(result.out), result.err) == (0, urls, "")


async def test_no_match_is_a_sentence_and_code_3(peerage, serve):
    await serve("shop-1")
    result = await peerage("locate", "service_id=shop", "shard=3")
    assert (result.code, result.out) == (3, "")
    assert "matches service_id=shop shard=3" in result.err
    result = await peerage("locate", "service_id=cart", "--json")
    assert (result.code, result.out) == (3, "[]\n")
    assert "Did you mean service_id=" in (await peerage("locate", "servce_id=shop")).err


async def test_a_match_that_cannot_be_called_is_code_4(peerage, serve):
    await serve("", '{"host": "h", "service_id": "mute"}')
    result = await peerage("locate", "service_id=mute")
    assert (result.code, result.out) == (4, "")
    assert "none can be called" in result.err


@pytest.mark.parametrize("words", [["shop"], ["=shop"], ["service_id="], ["shard=1", "shard=2"]])
def test_a_malformed_criterion_is_refused(words):
    with pytest.raises(CommandError) as caught:
        parse_criteria(words)
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize("words", [[], ["\x1b[31m"]])
async def test_wrong_usage_is_code_2(peerage, words):
    result = await peerage("locate", *words)
    assert (result.code, result.out) == (2, "")
    assert "\x1b[31m" not in result.err
    assert result.err
