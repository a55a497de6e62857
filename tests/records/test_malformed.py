"""Reading records with mistakes in them, and records of noise."""

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.records.support import encoded, golden, read, safe, web

from peerage.records.decode import decode
from peerage.records.text import parse_record, shorten

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["host", "appclass", "instance_id", "service_id", "node_id", "web", "discovery", "peerage", "other"]
)
OWN_FIELDS = st.sampled_from(["addresses", "scheme", "schemes", "state", "weight", "host_key", "nonce"])


class TestMalformed:
    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"", "not JSON"),
            (b"{", "not JSON"),
            (b"\xff\xfe{}", "not UTF-8"),
            (b"\xef\xbb\xbf{}", "not JSON"),
            (b"null", "NoneType instead of an object"),
            (b"[1, 2]", "list instead of an object"),
            (b'"text"', "str instead of an object"),
            (b"{} {}", "not JSON: Extra data"),
            (b"{}\x0b", "not JSON: Extra data"),
            (b"[" * 100_000, "nested too deeply"),
            (b'{"a":' * 100_000, "nested too deeply"),
            (b"x" * 900_000, "not JSON"),
            (b"\x00" * 900_000, "not JSON"),
            ("ž".encode() * 450_000, "not JSON"),
        ],
        ids=lambda value: ascii(value)[:24],
    )
    def test_a_record_that_is_no_json_object_is_skipped(self, data, why):
        """There is no instance, a short sentence says why, and parse_record raises ValueError with it."""
        instance, problems = decode("n", data)
        assert instance is None
        (problem,) = problems
        assert why in problem
        assert safe(problems)
        assert len(problem) < 200
        with pytest.raises(ValueError, match=why):
            parse_record(data)

    @pytest.mark.parametrize(
        "entry",
        [
            ["0.0.0.0", 0],
            ["0.0.0.0", 65536],
            ["0.0.0.0", -1],
            ["0.0.0.0", 10**30],
            ["0.0.0.0", "80"],
            ["0.0.0.0", 80.0],
            ["0.0.0.0", True],
            ["0.0.0.0"],
            [],
            [80, "0.0.0.0"],
            ["node-1", 80],
            ["", 80],
            ["10.0.0.1/8", 80],
            ["2001:db8::1%\x1b[31m", 80],
            ["1" * 900_000, 80],
            "0.0.0.0:80",
            {"0.0.0.0": 80},
            80,
            False,
        ],
        ids=lambda value: ascii(value)[:24],
    )
    def test_a_wrong_entry_of_web_is_skipped(self, entry):
        """The entries before and after it are used."""
        endpoints, problems = web(["0.0.0.0", 81], entry, ["0.0.0.0", 82])
        assert [endpoint.port for endpoint in endpoints] == [81, 82]
        (problem,) = problems
        assert "an entry of web" in problem
        assert safe(problems)

    @pytest.mark.parametrize("value", [8080, "0.0.0.0:80", {"0.0.0.0": 80}, True])
    def test_an_instance_with_a_wrong_web_isnt_callable(self, value):
        """Its ids and other fields are used."""
        instance, problems = read(web=value)
        assert not instance.callable
        assert ("service_id", "orders") in instance.ids
        assert len(problems) == 1

    @pytest.mark.parametrize("values", ["one", 1, {"a": 1}, True, 1.5])
    def test_ids_that_are_no_list_are_skipped(self, values):
        """The ids under other keys are used."""
        instance, problems = read(discovery={"bad": values, "good": [1]})
        assert ("good", "1") in instance.ids
        assert not [key for key, _ in instance.ids if key == "bad"]
        assert len(problems) == 1
        assert "'bad'" in problems[0]

    @pytest.mark.parametrize("value", [True, [1], {"a": 1}, "", "\ud800"])
    def test_a_wrong_id_is_skipped(self, value):
        """The other ids under its key are used."""
        instance, problems = read(discovery={"shard": [1, value, 2]})
        assert [found for key, found in instance.ids if key == "shard"] == ["1", "2"]
        assert len(problems) == 1
        assert safe(problems)

    def test_null_is_absent(self):
        """A field, a key or an entry that is null is no problem."""
        nulls = dict.fromkeys(("appclass", "instance_id", "service_id", "web", "peerage", "discovery"))
        assert decode("n", encoded(**nulls)).problems == ()
        assert decode("n", encoded(discovery={"a": None, "b": [None]})).problems == ()

    @pytest.mark.parametrize("key", ["", "\ud800"])
    def test_a_key_that_cant_be_searched_is_skipped(self, key):
        """The ids under other keys are used."""
        instance, problems = read(discovery={key: [1], "good": [1]})
        assert ("good", "1") in instance.ids
        assert len(problems) == 1
        assert safe(problems)

    @pytest.mark.parametrize(
        "host",
        [
            "",
            "a b",
            "a/b",
            "a:80",
            "user@a",
            "a\x1b[31m",
            "a\x9b31m",
            "a\u202eb",
            "a\ud800",
            "a%41",
            "0x7f000001",
            "2130706433",
            "169.254.169.254",
            "metadata.google.internal",
            "x" * 254,
            7,
            [],
        ],
        ids=ascii,
    )
    def test_a_host_that_cant_be_in_a_url_isnt_called(self, host):
        """Entries for all interfaces are skipped. An entry with another address is used."""
        endpoints, problems = web(["0.0.0.0", 80], ["10.0.0.1", 81], ["::", 80], host=host)
        assert [endpoint.port for endpoint in endpoints] == [81]
        assert len(problems) == 2
        assert safe(problems)

    def test_without_a_host_it_cant_be_called(self):
        """This is ASAB's rule. The problem is reported once."""
        endpoints, problems = web(["0.0.0.0", 80], ["::", 80], host=...)
        assert endpoints == ()
        assert len(problems) == 1

    @pytest.mark.parametrize("weight", [0, -1, "2", True, 1e9, float("nan"), float("inf"), 10**400])
    def test_a_wrong_weight_is_replaced_by_one(self, weight):
        """A weight neither excludes an instance nor draws everything to it."""
        instance, problems = read(peerage={"weight": weight})
        assert instance.weight == pytest.approx(1.0)
        assert len(problems) == 1

    @pytest.mark.parametrize("scheme", ["ftp", "HTTP", 1, ["http"], {"http": 1}])
    def test_a_wrong_scheme_is_skipped(self, scheme):
        """Only http and https are supported."""
        instance, problems = read(peerage={"scheme": scheme})
        assert instance.scheme is None
        assert len(problems) == 1

    def test_wrong_addresses_are_skipped(self):
        """So are addresses by which a peer would call itself."""
        addresses = ["10.0.0.1", "127.0.0.1", "::1", "fe80::1", "224.0.0.1", "0.0.0.0", "node", 7, None]
        instance, problems = read(peerage={"addresses": [*addresses, "::ffff:10.0.0.2"]})
        assert instance.addresses == ("10.0.0.1", "10.0.0.2")
        assert len(problems) == 8

    @pytest.mark.parametrize("value", [1, "x", [1], True])
    @pytest.mark.parametrize("key", ["peerage", "discovery"])
    def test_a_section_that_is_no_object_is_skipped(self, key, value):
        """The instance is callable by its other ids."""
        instance, problems = read(**{key: value})
        assert instance.callable
        assert instance.service_id == "orders"
        assert len(problems) == 1

    def test_a_number_too_long_for_python_is_skipped(self):
        """The other fields and ids are used, and record() contains its digits."""
        digits = b"9" * 5000
        data = encoded(discovery=...).replace(
            b"{", b'{"x":%s,"discovery":{"n":[1,%s,-%s,2]},' % (digits, digits, digits), 1
        )
        instance, problems = decode("n", data)
        assert instance is not None
        assert ("service_id", "orders") in instance.ids
        assert [value for key, value in instance.ids if key == "n"] == ["1", "2"]
        assert instance.record()["x"] == digits.decode()
        assert len(problems) == 2

    def test_numbers_that_json_doesnt_have_are_tolerated(self):
        """Python's json writes NaN and Infinity. The other ids are used."""
        instance, _ = read(discovery={"n": [float("nan"), float("inf"), 1]})
        assert ("n", "1") in instance.ids

    def test_a_deeply_nested_entry_is_skipped(self):
        """At every depth that json reads, the problem is put into words without a RecursionError."""
        for depth in range(900, 1000, 3):
            deep = b"[" * depth + b"]" * depth
            data = encoded(web=...).replace(b"{", b'{"web":[%s,["0.0.0.0",80]],' % deep, 1)
            instance, problems = decode("n", data)
            assert safe(problems)
            assert instance is None or instance.callable

    def test_the_beginning_of_a_nested_value_is_shown(self):
        """Showing a value takes the same time whatever its depth and size."""
        deep = []
        for _ in range(100_000):
            deep = [deep]
        assert shorten(deep) == "[[[[...]]]]"
        # Taken apart by hand: to free it recursively is a test of the interpreter.
        while deep:
            deep = deep.pop()

    def test_a_record_of_noise_doesnt_fill_the_log(self):
        """Thousands of wrong entries become a few sentences and a number."""
        _, problems = decode("n", encoded(web=list(range(20_000))))
        assert len(problems) < 12
        assert sum(map(len, problems)) < 2000
        assert re.search(r"\d+ more", problems[-1])

    def test_a_repeated_problem_is_reported_once(self):
        """ASAB repeats entries."""
        assert len(web(["0.0.0.0", 0], ["0.0.0.0", 0])[1]) == 1


class TestAnything:
    @given(st.binary(max_size=300))
    def test_no_bytes_raise(self, data):
        """All bytes lead to an instance or to a problem."""
        instance, problems = decode("n", data)
        assert (instance is None) <= bool(problems)
        assert safe(problems)

    @given(st.text('{}[]":,1e-. \t\r\n\v\xa0a\\', max_size=12).map(str.encode))
    @example(b" {} ")
    @example(b'\n{"a": 1}\r\t')
    def test_the_parser_accepts_the_same_texts_as_python(self, data):
        """White space around an object included."""
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        if isinstance(value, dict):
            assert parse_record(data) == value
        else:
            with pytest.raises(ValueError, match="JSON"):
                parse_record(data)

    @given(JSON)
    @example({"web": [["0.0.0.0", 80]], "host": "\ud800"})
    def test_no_json_raises(self, value):
        """An object becomes an instance, and every other value a problem."""
        instance, problems = decode("n", json.dumps(value).encode())
        assert (instance is not None) is isinstance(value, dict)
        assert safe(problems)

    @given(FIELDS, JSON)
    def test_a_wrong_field_leaves_the_others(self, field, value):
        """Only what is made of that field is missing."""
        instance, problems = read(**{field: value})
        assert safe(problems)
        assert safe([repr(instance)]) or field in {"instance_id", "service_id", "appclass", "host"}
        if field != "service_id":
            assert ("service_id", "orders") in instance.ids
        if field != "discovery":
            assert {("shard", "1"), ("shard", "two")} <= set(instance.ids)
        if field not in {"web", "host"}:
            assert [endpoint.port for endpoint in instance.endpoints] == [8080]
        if field != "peerage":
            assert (instance.scheme, instance.addresses) == ("https", ("10.0.0.1",))

    @given(st.lists(JSON, max_size=5), st.integers(0, 5), OWN_FIELDS, JSON)
    def test_wrong_entries_leave_the_others(self, noise, position, own, value):
        """A correct entry among any others is used: in web, under discovery and under peerage."""
        position = min(position, len(noise))
        mixed = lambda good: [*noise[:position], good, *noise[position:]]  # noqa: E731 - used three times, and here only
        instance, problems = decode(
            "n",
            encoded(
                web=mixed(["10.0.0.9", 4711]),
                discovery={"shard": mixed("here"), "noise": value},
                peerage={"addresses": mixed("10.9.9.9"), own: value} if own != "addresses" else {},
            ),
        )
        assert instance is not None
        assert safe(problems)
        assert ("10.0.0.9", 4711) in {endpoint[:2] for endpoint in instance.endpoints}
        assert ("shard", "here") in instance.ids
        assert own == "addresses" or "10.9.9.9" in instance.addresses
        for endpoint in instance.endpoints:
            assert 0 < endpoint.port < 65536
            assert endpoint.host.isprintable()

    @given(st.data())
    def test_a_golden_record_with_a_byte_changed(self, data):
        """Damaged data never raises."""
        text = bytearray(golden(data.draw(st.sampled_from(["asab-25.15.json", "peerage.json"]))))
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
        assert safe(decode("n", bytes(text)).problems)


class TestLimits:
    @pytest.mark.parametrize(
        "value", ["x" * 1001, "\u0301\u0316" * 30_000, "a" + "\u0315\u0316" * 16, 10**4000]
    )
    def test_an_id_that_takes_too_long_to_compare_is_skipped(self, value):
        """Combining marks are sorted in quadratic time, and would stop every watching process."""
        instance, problems = read(discovery={"shard": [1, value, 2], "y" * 1001: [1], "\u0301" * 31: [1]})
        assert [found for key, found in instance.ids if key == "shard"] == ["1", "2"]
        assert {key for key, _ in instance.ids} == {"instance_id", "service_id", "shard"}
        assert len(problems) == 3
        assert safe(problems)
        assert read(service_id=value)[0].service_id is None

    def test_the_number_of_ids_is_limited(self):
        """A record of short ids would take forty times its size in memory; the built-in ids are never cut."""
        instance, problems = read(discovery={"a": list(range(600)), "b": list(range(600)), "c": [1]})
        assert len(instance.ids) == 1000
        assert instance.service_id == "orders"
        assert problems == ("It has more than 1000 ids; readers ignore the others.",)
        assert read(discovery={"a": list(range(998)), "b": []})[1] == ()
        assert read(discovery={"a": [1] * 999, "b": [2]})[1] == problems

    def test_the_number_of_endpoints_and_addresses_is_limited(self):
        """Nothing calls more than a few of them."""
        ports = [["0.0.0.0", port] for port in range(1, 1000)]
        own = {"addresses": [f"10.0.0.{number}" for number in range(1, 250)]}
        instance, problems = read(web=ports, peerage=own)
        assert len(instance.endpoints) == len(instance.urls) == len(instance.addresses) == 64
        assert problems == (
            "peerage.addresses has 249 entries, of which the first 64 are used.",
            "web has 999 entries, of which the first 64 are used.",
        )

    def test_of_many_problems_the_first_are_kept(self):
        """The others are counted."""
        _, problems = read(discovery={"k" * 900: [{"n": number} for number in range(900)]})
        assert problems[-1] == "There are 892 more problems."
        assert sum(map(len, problems)) < 2000
