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
VALUES = st.text(min_size=1, max_size=100).filter(lambda text: not text.startswith(".") and fold_value(text))


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
    """Dots belong to the value, and one trailing dot is allowed. Case and composition don't matter."""
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
def test_an_incomplete_name_is_an_error_with_an_example(host):
    """A host without <value>.<key> in front of .asab raises NotDiscoveredError."""
    with pytest.raises(NotDiscoveredError, match=r"orders\.service_id\.asab") as caught:
        parse_host(host)
    assert ascii(host)[1:-1] in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "a" * 238 + ".service_id.asab",
        "\u0301\u0316" * 4000 + ".service_id.asab",
        "xn--" + "a" * 8000 + ".service_id.asab",
        "a" + "\u0301" * 40 + ".service_id.asab",
    ],
    ids=len,
)
def test_a_host_that_takes_too_long_to_compare_is_refused(host):
    """A header of 8 kB takes no time before authorization, and isn't remembered."""
    remembered = parse_host.cache_info().currsize
    with pytest.raises(NotDiscoveredError) as caught:
        parse_host(host)
    assert len(str(caught.value)) < 250
    assert parse_host.cache_info().currsize == remembered


def test_the_longest_host_is_parsed():
    """253 characters, and a trailing dot."""
    value = "a" * (253 - len(".service_id.asab"))
    assert parse_host(f"{value}.service_id.asab.") == ("service_id", value)


def test_ids_are_as_long_as_records_need_them():
    """1,000 characters, and 30 combining marks in a row; a longer text is no id."""
    assert fold_value("A" * 1000) == "a" * 1000
    assert fold_value("\u00c9" * 1000) == "\u00e9" * 1000
    assert fold_value("A" * 1001) == fold_value("\u00c9" * 1001) == ""
    assert fold_value("x" + "\u0316" * 30) == "x" + "\u0316" * 30
    assert fold_value("x" + "\u0316" * 31) == ""
    assert fold_key("A" * 1001) == ""


@given(st.text(st.sampled_from("\u0301\u0316\u0345\u0344\u0f73\u1f82\ufb2cA\u00e9"), max_size=60))
def test_any_sequence_of_marks_is_folded_once(text):
    """Characters that decompose into several, at every length up to the limit and beyond."""
    folded = fold_value(text)
    assert fold_value(folded) == folded


@given(ANY_TEXT)
def test_every_host_is_parsed_or_refused(host):
    """The only error of parse_host is NotDiscoveredError."""
    try:
        key, value = parse_host(host)
    except NotDiscoveredError:
        return
    assert key
    assert value
    assert is_logical(host)


@given(VALUES, KEYS, st.sampled_from(["asab", "ASAB", "Asab."]))
def test_a_host_is_parsed_into_what_it_was_made_of(value, key, domain):
    """The value and the key are folded."""
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
    """service-id means service_id, in upper case as well. A custom key keeps its hyphen."""
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
    """All names in the domain asab are logical, complete or not. No others are."""
    assert is_logical(host) is logical
