"""Reading one advertised record."""

import json
import re
import socket
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peerage.records.instance import Endpoint, decode
from peerage.records.text import parse_record, shorten

GOLDEN = Path(__file__).parent / "golden"
V4, V6 = socket.AF_INET, socket.AF_INET6

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["host", "appclass", "instance_id", "service_id", "node_id", "web", "discovery", "peerage", "other"]
)
OWN_FIELDS = st.sampled_from(["addresses", "scheme", "state", "weight", "host_key", "nonce"])

GOOD = {
    "host": "node-1",
    "appclass": "Orders",
    "instance_id": "Orders-1",
    "service_id": "orders",
    "web": [["0.0.0.0", 8080]],
    "discovery": {"shard": [1, "two"]},
    "peerage": {"scheme": "https", "weight": 2, "addresses": ["10.0.0.1"]},
}


def golden(name):
    return (GOLDEN / name).read_bytes()


def encoded(**changes):
    """Return GOOD with *changes*; ... leaves a field out."""
    record = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    return json.dumps(record).encode()


def web(*entries, host_key=None, **changes):
    instance, problems = decode("n", encoded(web=list(entries), **changes), host_key=host_key)
    assert instance is not None
    return instance.endpoints, problems


def safe(problems):
    return all(isinstance(text, str) and text.isascii() and text.isprintable() and text for text in problems)


class TestGolden:
    def test_a_record_as_asab_25_15_writes_it(self):
        """Repeated and null entries, IPv6 with four items and a manifest are read without a problem."""
        instance, problems = decode("MyApplication.0000090098", golden("asab-25.15.json"), 7)
        assert problems == ()
        assert instance is not None
        assert (instance.name, instance.sequence, instance.ephemeral) == ("MyApplication.0000090098", 7, True)
        assert instance.host == "lmc01"
        assert instance.appclass == "MyApplication"
        assert instance.endpoints == (Endpoint("lmc01", 8090, V4), Endpoint("lmc01", 8090, V6))
        assert instance.urls == ("http://lmc01:8090",)
        assert set(instance.ids) == {
            ("instance_id", "my-application-1"),
            ("service_id", "my-application"),
            ("node_id", "lmc01"),
            ("site_id", "brno"),
            ("shard", "1"),
            ("shard", "two"),
            ("color", "blue"),
        }
        assert instance.callable
        assert not instance.draining
        assert (instance.scheme, instance.state, instance.weight) == (None, None, 1.0)

    def test_ids_are_spelled_as_advertised(self):
        """What people and discover() see is the advertised spelling, numbers as numbers."""
        instance, _ = decode("n", golden("asab-25.15.json"))
        assert instance is not None
        assert instance.instance_id == "My-Application-1"
        assert instance.service_id == "my-application"
        assert instance.node_id == "lmc01"
        assert instance.id("site_id") == "Brno"
        assert instance.id("nothing") is None
        assert [value for key, value in instance.advertised_ids() if key == "shard"] == [1, "Two"]

    def test_unknown_fields_are_kept(self):
        """record() has everything advertised and is the caller's own copy."""
        instance, _ = decode("n", golden("asab-25.15.json"))
        assert instance is not None
        record = instance.record()
        assert record["a key of tomorrow"] == {"kept": [True, None, 1.5]}
        assert record["attention_required"]["disk"]["_c"] == pytest.approx(1701427949.2)
        assert record["CI_RUNNER_EXECUTABLE_ARCH"] == "linux/amd64"
        record.clear()
        assert instance.record()

    def test_a_worker_that_listens_nowhere_is_there_but_not_callable(self):
        """A record without web is no problem; its service_id counts without an instance_id."""
        instance, problems = decode("n", golden("asab-worker.json"))
        assert problems == ()
        assert instance is not None
        assert instance.ids == (("service_id", "worker"),)
        assert not instance.callable
        assert instance.urls == ()
        assert "not callable" in repr(instance)

    def test_a_record_of_ours(self):
        """Scheme, state, weight and addresses stand under the one key peerage."""
        instance, problems = decode("n", golden("peerage.json"))
        assert problems == ()
        assert instance is not None
        assert instance.urls == ("https://node-1.example.org:8443",)
        assert instance.draining
        assert instance.callable
        assert instance.weight == pytest.approx(2.5)
        assert instance.addresses == ("10.1.2.3", "2001:db8::7")

    def test_on_its_own_host_it_is_called_by_loopback(self):
        """With the same host_key every endpoint has a loopback address of its family, the URL stays."""
        instance, _ = decode("n", golden("peerage.json"), host_key="00112233445566ff")
        assert instance is not None
        assert [endpoint.address for endpoint in instance.endpoints] == ["127.0.0.1", "::1"]
        assert instance.urls == ("https://node-1.example.org:8443",)


class TestEndpoints:
    def test_an_entry_bound_to_one_address_is_called_there(self):
        """IPv4 as it is, IPv6 in brackets, and no host is needed for it."""
        endpoints, problems = web(["10.0.0.7", 80], ["2001:db8::1", 81, 0, 0], host=..., peerage=...)
        assert problems == ()
        assert endpoints == (
            Endpoint("10.0.0.7", 80, V4),
            Endpoint("2001:db8::1", 81, V6),
        )
        assert [endpoint.authority for endpoint in endpoints] == ["10.0.0.7:80", "[2001:db8::1]:81"]

    def test_a_host_that_is_an_ipv6_address_is_bracketed(self):
        """A literal address is a host too."""
        instance, problems = decode("n", encoded(host="2001:db8::5"))
        assert problems == ()
        assert instance is not None
        assert instance.urls == ("https://[2001:db8::5]:8080",)

    def test_a_mapped_address_is_the_ipv4_address(self):
        """::ffff:a.b.c.d is a.b.c.d, with all that this means."""
        assert web(["::ffff:10.0.0.1", 80])[0] == (Endpoint("10.0.0.1", 80, V4, scheme="https"),)
        assert web(["::ffff:0.0.0.0", 80])[0] == (Endpoint("node-1", 80, V4, scheme="https"),)
        assert web(["::ffff:127.0.0.1", 80])[0] == ()

    @pytest.mark.parametrize("bound", ["127.0.0.1", "127.1.2.3", "::1"])
    def test_loopback_only_from_the_same_host(self, bound):
        """A peer elsewhere would call itself; without any host_key nobody is on the same host."""
        own = {"host_key": "here"}
        assert web([bound, 80], peerage=own)[0] == ()
        assert web([bound, 80], peerage=own, host_key="there") == ((), ())
        assert web([bound, 80], peerage={}, host_key="there") == ((), ())
        ((endpoint,), problems) = web([bound, 80], peerage=own, host_key="here")
        assert problems == ()
        assert (endpoint.host, endpoint.address) == (bound, bound)

    @pytest.mark.parametrize("bound", ["169.254.1.1", "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1"])
    def test_link_local_and_multicast_are_never_called(self, bound):
        """They mean something on one link only; the neighbour in the record is still called."""
        assert web([bound, 80], ["0.0.0.0", 81]) == ((Endpoint("node-1", 81, V4, scheme="https"),), ())

    def test_each_place_once(self):
        """IPv4 and IPv6 of one host and port are two endpoints and one URL."""
        instance, _ = decode("n", encoded(web=[["0.0.0.0", 80], ["::", 80, 0, 0], ["0.0.0.0", 80]]))
        assert instance is not None
        assert len(instance.endpoints) == 2
        assert instance.urls == ("https://node-1:80",)

    def test_a_record_no_process_owns_isnt_called(self):
        """A node left by hand is shown only."""
        instance, _ = decode("n", encoded(), ephemeral=False)
        assert instance is not None
        assert instance.urls
        assert not instance.callable


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
    def test_what_is_no_json_object_costs_the_record(self, data, why):
        """There is no instance, one short sentence says why, and parse_record raises the same."""
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
    def test_a_bad_entry_of_web_costs_itself(self, entry):
        """The neighbours before and behind it are called."""
        endpoints, problems = web(["0.0.0.0", 81], entry, ["0.0.0.0", 82])
        assert [endpoint.port for endpoint in endpoints] == [81, 82]
        (problem,) = problems
        assert "an entry of web" in problem
        assert safe(problems)

    @pytest.mark.parametrize("value", [8080, "0.0.0.0:80", {"0.0.0.0": 80}, True])
    def test_web_of_another_type_leaves_it_uncallable(self, value):
        """Ids and all the rest stay."""
        instance, problems = decode("n", encoded(web=value))
        assert instance is not None
        assert not instance.callable
        assert ("service_id", "orders") in instance.ids
        assert len(problems) == 1

    @pytest.mark.parametrize("values", ["one", 1, {"a": 1}, True, 1.5])
    def test_a_discovery_value_that_is_no_list_costs_that_key(self, values):
        """Other keys of the record stay."""
        instance, problems = decode("n", encoded(discovery={"bad": values, "good": [1]}))
        assert instance is not None
        assert ("good", "1") in instance.ids
        assert not [key for key, _ in instance.ids if key == "bad"]
        assert len(problems) == 1
        assert "'bad'" in problems[0]

    @pytest.mark.parametrize("value", [True, [1], {"a": 1}, "", "\ud800"])
    def test_a_bad_id_costs_itself(self, value):
        """The other ids under its key stay."""
        instance, problems = decode("n", encoded(discovery={"shard": [1, value, 2]}))
        assert instance is not None
        assert [found for key, found in instance.ids if key == "shard"] == ["1", "2"]
        assert len(problems) == 1
        assert safe(problems)

    def test_null_is_absent(self):
        """A field, a key or an entry that is null is no problem."""
        nulls = dict.fromkeys(("appclass", "instance_id", "service_id", "web", "peerage", "discovery"))
        assert decode("n", encoded(**nulls)).problems == ()
        assert decode("n", encoded(discovery={"a": None, "b": [None]})).problems == ()

    @pytest.mark.parametrize("key", ["", "\ud800"])
    def test_a_key_that_cant_be_asked_for_is_a_problem(self, key):
        """It costs that key alone."""
        instance, problems = decode("n", encoded(discovery={key: [1], "good": [1]}))
        assert instance is not None
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
            "x" * 254,
            7,
            [],
        ],
        ids=ascii,
    )
    def test_a_host_that_cant_stand_in_a_url_makes_it_uncallable(self, host):
        """Entries for all interfaces are lost, an entry with an address of its own stays."""
        endpoints, problems = web(["0.0.0.0", 80], ["10.0.0.1", 81], ["::", 80], host=host)
        assert [endpoint.port for endpoint in endpoints] == [81]
        assert len(problems) == 2
        assert safe(problems)

    def test_without_a_host_it_cant_be_called(self):
        """ASAB's rule; it is said once."""
        endpoints, problems = web(["0.0.0.0", 80], ["::", 80], host=...)
        assert endpoints == ()
        assert len(problems) == 1

    @pytest.mark.parametrize("weight", [0, -1, "2", True, 1e9, float("nan"), float("inf"), 10**400])
    def test_a_useless_weight_counts_as_one(self, weight):
        """A weight neither excludes an instance nor draws everything to it."""
        instance, problems = decode("n", encoded(peerage={"weight": weight}))
        assert instance is not None
        assert instance.weight == pytest.approx(1.0)
        assert len(problems) == 1

    @pytest.mark.parametrize("scheme", ["ftp", "HTTP", 1, ["http"], {"http": 1}])
    def test_a_useless_scheme_counts_as_none(self, scheme):
        """Only http and https are spoken."""
        instance, problems = decode("n", encoded(peerage={"scheme": scheme}))
        assert instance is not None
        assert instance.scheme is None
        assert len(problems) == 1

    def test_useless_addresses_cost_themselves(self):
        """Nothing that would make a peer call itself is taken."""
        addresses = ["10.0.0.1", "127.0.0.1", "::1", "fe80::1", "224.0.0.1", "0.0.0.0", "node", 7, None]
        instance, problems = decode("n", encoded(peerage={"addresses": [*addresses, "::ffff:10.0.0.2"]}))
        assert instance is not None
        assert instance.addresses == ("10.0.0.1", "10.0.0.2")
        assert len(problems) == 8

    @pytest.mark.parametrize("value", [1, "x", [1], True])
    @pytest.mark.parametrize("key", ["peerage", "discovery"])
    def test_a_section_that_is_no_object_costs_itself(self, key, value):
        """It is still called by its own ids."""
        instance, problems = decode("n", encoded(**{key: value}))
        assert instance is not None
        assert instance.callable
        assert instance.service_id == "orders"
        assert len(problems) == 1

    def test_a_number_too_long_for_python_costs_its_field(self):
        """The neighbours stay, and record() shows its digits."""
        digits = "9" * 5000
        data = encoded(discovery=...).replace(
            b"{", b'{"x":%s,"discovery":{"n":[%s,-%s]},' % ((digits.encode(),) * 3), 1
        )
        instance, _ = decode("n", data)
        assert instance is not None
        assert ("service_id", "orders") in instance.ids
        assert ("n", digits) in instance.ids
        assert instance.record()["x"] == digits

    def test_numbers_json_doesnt_have_are_ids_at_most(self):
        """NaN and Infinity, which Python's json writes, cost nothing but themselves."""
        instance, _ = decode("n", encoded(discovery={"n": [float("nan"), float("inf"), 1]}))
        assert instance is not None
        assert ("n", "1") in instance.ids

    def test_a_deeply_nested_field_costs_itself(self):
        """At every depth that json reads, what is wrong is said without recursing too deeply."""
        for depth in range(900, 1000, 3):
            deep = b"[" * depth + b"]" * depth
            data = encoded(web=...).replace(b"{", b'{"web":[%s,["0.0.0.0",80]],' % deep, 1)
            instance, problems = decode("n", data)
            assert safe(problems)
            assert instance is None or instance.callable

    def test_of_what_is_nested_the_beginning_is_shown(self):
        """Showing a value costs the same whatever its depth and size."""
        deep = []
        for _ in range(100_000):
            deep = [deep]
        assert shorten(deep) == "[[[[...]]]]"
        # Taken apart by hand: to free it recursively is a test of the interpreter.
        while deep:
            deep = deep.pop()

    def test_a_record_of_noise_doesnt_fill_the_log(self):
        """Thousands of bad entries are a handful of sentences and a number."""
        _, problems = decode("n", encoded(web=list(range(20_000))))
        assert len(problems) < 12
        assert sum(map(len, problems)) < 2000
        assert re.search(r"\d+ more", problems[-1])

    def test_the_same_problem_is_said_once(self):
        """ASAB repeats entries."""
        assert len(web(["0.0.0.0", 0], ["0.0.0.0", 0])[1]) == 1


class TestAnything:
    @given(st.binary(max_size=300))
    def test_no_bytes_raise(self, data):
        """Whatever the bytes are, there is an instance or a problem."""
        instance, problems = decode("n", data)
        assert (instance is None) <= bool(problems)
        assert safe(problems)

    @given(st.text('{}[]":,1e-. \t\r\n\v\xa0a\\', max_size=12).map(str.encode))
    @example(b" {} ")
    @example(b'\n{"a": 1}\r\t')
    def test_it_is_json_exactly_if_python_says_so(self, data):
        """What may stand around an object, and what may not."""
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
        """An object is an instance, everything else a problem."""
        instance, problems = decode("n", json.dumps(value).encode())
        assert (instance is not None) is isinstance(value, dict)
        assert safe(problems)

    @given(FIELDS, JSON)
    def test_one_field_of_anything_leaves_the_others(self, field, value):
        """A mutated field costs what is made of it, never another one."""
        instance, problems = decode("n", encoded(**{field: value}))
        assert instance is not None
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
    def test_entries_of_anything_leave_their_neighbours(self, noise, place, own, value):
        """Among any entries the good one survives, in web, under discovery and under peerage."""
        place = min(place, len(noise))
        mixed = lambda good: [*noise[:place], good, *noise[place:]]  # noqa: E731 - said three times, needed here only
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
        assert Endpoint("10.0.0.9", 4711, V4) in instance.endpoints
        assert ("shard", "here") in instance.ids
        assert own == "addresses" or "10.9.9.9" in instance.addresses
        for endpoint in instance.endpoints:
            assert 0 < endpoint.port < 65536
            assert endpoint.host.isprintable()

    @given(st.data())
    def test_a_golden_record_with_a_byte_changed(self, data):
        """Damage in transit never raises."""
        text = bytearray(golden(data.draw(st.sampled_from(["asab-25.15.json", "peerage.json"]))))
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
        assert safe(decode("n", bytes(text)).problems)


def test_two_instances_are_equal_only_if_they_are_one():
    """A changed record is another instance, an identical one too."""
    one, other = decode("n", encoded()).instance, decode("n", encoded()).instance
    assert one == one  # noqa: PLR0124 - identity is the point
    assert one != other
    assert len({one, other}) == 2


def test_of_two_spellings_of_one_id_the_first_is_shown():
    """They are one id."""
    instance, _ = decode("n", encoded(discovery={"shard": ["A", "a"], "SHARD": ["a"]}))
    assert instance is not None
    assert [value for key, value in instance.advertised_ids() if key == "shard"] == ["A"]


def test_the_name_in_a_repr_is_escaped():
    """A record's text does nothing to the terminal it is printed in."""
    instance, _ = decode("n\x1b", encoded(instance_id="x\x1b[31m"))
    assert repr(instance).isprintable()


def test_a_hostile_record_costs_little(monkeypatch):
    """Thousands of bad entries under a long key: few are put into words, the rest are counted."""
    shown = []
    monkeypatch.setattr("peerage.records.instance.shorten", lambda value: shown.append(value) or "x")
    data = json.dumps({"discovery": {"k" * 30_000: [{}] * 10_000}}).encode()
    _, problems = decode("a", data)
    assert len(shown) < 200
    assert problems[-1].startswith("There are 9")
