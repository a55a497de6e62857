"""``peerage locate``."""

import json

import pytest

from peerage.cli.locate import parse_criteria
from peerage.cli.run import CommandError, Exit


def test_the_urls_of_who_matches_all_criteria(peerage, serve):
    urls = sorted(serve(name).line() for name in ("shop-1", "shop-2"))
    serve("cart-1").line()
    assert peerage("locate", "service_id=shop", "shard=2").stdout.splitlines() == urls
    assert peerage("locate", "service-id=SHOP").stdout.splitlines() == urls
    result = peerage("locate", "service_id=shop", "--json")
    assert (result.returncode, json.loads(result.stdout), result.stderr) == (0, urls, "")


def test_nobody_is_a_sentence_and_code_1(peerage, serve):
    serve("shop-1").line()
    result = peerage("locate", "service_id=shop", "shard=3")
    assert (result.returncode, result.stdout) == (1, "")
    assert "matches service_id=shop shard=3" in result.stderr
    result = peerage("locate", "service_id=cart", "--json")
    assert (result.returncode, result.stdout) == (1, "[]\n")


@pytest.mark.parametrize("words", [["shop"], ["=shop"], ["service_id="], ["shard=1", "shard=2"]])
def test_what_is_no_criterion_is_refused(words):
    with pytest.raises(CommandError) as caught:
        parse_criteria(words)
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize("words", [[], ["\x1b[31m"]])
def test_wrong_usage_is_code_2(peerage, words):
    result = peerage("locate", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert "\x1b[31m" not in result.stderr
    assert result.stderr
