"""The grammar of logical names."""

import itertools
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.errors import NotDiscoveredError
from peerage.records.names import BUILTIN_KEYS, fold_key, fold_value, is_logical, parse_host

ANY_TEXT = st.text(st.characters(exclude_categories=()))
KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
VALUES = st.text(min_size=1).filter(lambda text: not text.startswith("."))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("orders.service_id.asab", ("service_id", "orders")),
        ("Orders.Service_ID.ASAB", ("service_id", "orders")),
        ("orders.eu.west.service_id.asab", ("service_id", "orders.eu.west")),
        ("orders.service_id.asab.", ("service_id", "orders")),
        ("17.shard.asab", ("shard", "17")),
        ("CAFE\u0301.service_id.asab", ("service_id", "caf\u00e9")),
        ("STRASSE.service_id.asab", ("service_id", "strasse")),
        ("stra\u00dfe.service_id.asab", ("service_id", "strasse")),
        ("asab.asab.asab", ("asab", "asab")),
        *((f"x.{key.replace('_', '-')}.asab", (key, "x")) for key in BUILTIN_KEYS),
    ],
)
def test_a_host_is_split_from_the_right_and_folded(host, expected):
    """Dots belong to the value, one trailing dot is allowed, case and composition don't matter."""
    assert parse_host(host) == expected


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "asab",
        "asab.",
        ".asab",
        "x.asab",
        "..asab",
        ".key.asab",
        "x..asab",
        "a.b.c",
        "a.b.asab..",
        "a.b.asabx",
    ],
)
def test_an_incomplete_name_says_what_to_write(host):
    """What has no <value>.<key> in front of .asab is NotDiscoveredError, and its message has an example."""
    with pytest.raises(NotDiscoveredError, match=r"orders\.service_id\.asab") as caught:
        parse_host(host)
    assert ascii(host)[1:-1] in str(caught.value)


@given(ANY_TEXT)
def test_no_host_raises_anything_else(host):
    """Whatever a URL's host is, parse_host answers or raises NotDiscoveredError."""
    try:
        key, value = parse_host(host)
    except NotDiscoveredError:
        return
    assert key
    assert value
    assert is_logical(host)


@given(VALUES, KEYS, st.sampled_from(["asab", "ASAB", "Asab."]))
def test_what_is_put_into_a_host_is_found_in_it(value, key, domain):
    """A legal value and key come out folded."""
    host = f"{value}.{key}.{domain}"
    assert parse_host(host) == (fold_key(key), fold_value(value))
    assert is_logical(host)


@given(st.one_of(ANY_TEXT, st.integers(), st.floats()))
def test_folding_twice_changes_nothing(value):
    """fold_value is idempotent, also for text that isn't normalised and for numbers."""
    folded = fold_value(value)
    assert fold_value(folded) == folded
    assert fold_value(unicodedata.normalize("NFD", folded)) == folded


def test_folding_is_stable_for_every_character_with_a_mark():
    """No letter of Unicode folds to something that folds further, alone or under a combining mark."""
    letters = [chr(point) for point in range(sys.maxunicode + 1) if chr(point).casefold() != chr(point)]
    for letter, mark in itertools.product(letters, ("", "\u0345", "\u0301", "\u030c", "\u0345\u0301")):
        folded = fold_value(letter + mark)
        assert fold_value(folded) == folded, ascii(letter + mark)


@given(st.text(st.characters(categories=("Lu", "Ll", "Mn"))))
def test_case_and_composition_dont_matter(text):
    """The composed and the decomposed spelling of one id are the same id."""
    assert fold_value(unicodedata.normalize("NFD", text)) == fold_value(unicodedata.normalize("NFC", text))


def test_numbers_match_their_text():
    """An id that is a number is found by its digits."""
    assert fold_value(17) == fold_value("17") == "17"


def test_hyphens_are_understood_in_the_builtin_keys_only():
    """service-id is service_id in any case; a custom key keeps its hyphen."""
    assert fold_key("Service-ID") == "service_id"
    assert fold_key("my-shard") == "my-shard"


@pytest.mark.parametrize(
    ("host", "logical"),
    [
        ("orders.service_id.asab", True),
        ("ORDERS.SERVICE_ID.ASAB", True),
        ("orders.service_id.asab.", True),
        ("x.asab", True),
        ("asab", True),
        ("ASAB.", True),
        ("asab.example.org", False),
        ("notasab", False),
        ("x.notasab", False),
        ("a.b.asab..", False),
        ("", False),
        (None, False),
    ],
)
def test_the_domain_is_recognized(host, logical):
    """Everything in the domain asab is ours, complete or not; nothing else is."""
    assert is_logical(host) is logical
