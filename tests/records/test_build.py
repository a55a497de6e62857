"""Writing the record to advertise."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.errors import RecordError
from peerage.records.advert import Advert
from peerage.records.build import build_record
from peerage.records.decode import decode
from peerage.records.identity import Identity
from peerage.records.names import BUILTIN_KEYS, fold_value

LAUNCHED = datetime(2023, 12, 1, 10, 52, 29, tzinfo=UTC)

#: Every field that ASAB documents and peerage writes, and the field "peerage".
DOCUMENTED = {
    *("host", "appclass", "launch_time", "process_id", "containerized", "web", "discovery", "peerage"),
    *BUILTIN_KEYS,
}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def identity(**changes):
    values = {
        "host": "node-1",
        "instance_id": "orders-1",
        "service_id": "orders",
        "launch_time": LAUNCHED,
        "host_key": None,
    }
    return Identity(**{**values, **changes})


def data_of(who=None, nonce=None, **fields):
    return build_record(Advert(identity=who or identity(), **fields), nonce=nonce)


def built(who=None, **arguments):
    return json.loads(data_of(who, **arguments))


def test_the_keys_are_the_documented_ones_and_peerage():
    """No other field of peerage is at top level."""
    who = identity(node_id="n", site_id="s", containerized=True, addresses=("10.0.0.1",), host_key="k")
    record = built(who, port=80, ids={"shard": 1}, state="draining", weight=2, nonce="x")
    assert set(record) == DOCUMENTED
    assert set(record["peerage"]) == {"addresses", "host_key", "nonce", "scheme", "state", "weight"}


def test_unknown_fields_are_left_out():
    """ASAB leaves a field out instead of writing null or an empty list."""
    record = built(Identity(host="node-1", launch_time=LAUNCHED, host_key=None))
    assert set(record) == {"host", "appclass", "launch_time", "process_id", "peerage"}
    assert record["peerage"] == {"scheme": "http"}


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (LAUNCHED, "2023-12-01T10:52:29.000000Z"),
        (LAUNCHED.replace(microsecond=656397), "2023-12-01T10:52:29.656397Z"),
        (LAUNCHED.astimezone(timezone(timedelta(hours=-7))), "2023-12-01T10:52:29.000000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_the_launch_time_has_microseconds_and_z(moment, written):
    """Also if they are zero, and whatever the time zone of the given time is."""
    assert built(identity(launch_time=moment))["launch_time"] == written


def test_a_service_id_alone_is_found_by_asab():
    """ASAB 25.15 indexes service_id only beside instance_id, so it is written under discovery as well."""
    assert built(identity(instance_id=None))["discovery"] == {"service_id": ["orders"]}
    assert "discovery" not in built(identity())
    assert "discovery" not in built(identity(instance_id=None, service_id=None))


def test_the_manifest_sets_no_field_with_a_meaning():
    """It is shown beside the other fields; its ids count where the identity has none."""
    manifest = {**dict.fromkeys(DOCUMENTED - {*BUILTIN_KEYS}, "forged"), "version": "v1", "CI_JOB_ID": "44"}
    record = built(Identity(host="node-1", launch_time=LAUNCHED, manifest=manifest, host_key=None))
    assert record["version"] == "v1"
    assert record["CI_JOB_ID"] == "44"
    assert set(record) == {"host", "appclass", "launch_time", "process_id", "peerage", "version", "CI_JOB_ID"}
    assert "forged" not in str(record)
    assert built(identity(manifest=manifest), extra={"version": "v2"})["version"] == "v2"


def test_a_service_id_of_the_manifest_is_advertised():
    """Images may be built with it; one of the environment counts instead."""
    manifest = {"service_id": "stock", "instance_id": "stock-1"}
    record = built(Identity(host="node-1", launch_time=LAUNCHED, manifest=manifest, host_key=None))
    assert (record["service_id"], record["instance_id"]) == ("stock", "stock-1")
    assert built(identity(manifest=manifest))["service_id"] == "orders"
    alone = Identity(host="node-1", launch_time=LAUNCHED, manifest={"service_id": "stock"})
    assert built(alone)["discovery"] == {"service_id": ["stock"]}


@pytest.mark.parametrize("key", [*sorted(DOCUMENTED), 1, None])
def test_extra_cant_set_a_field_with_a_meaning(key):
    """The message names the key and says where it belongs."""
    with pytest.raises(RecordError, match=re.escape(repr(key))):
        data_of(extra={key: "x"})


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"x", float("nan"), float("inf"), "\ud800", 10**5000],
    ids=lambda value: type(value).__name__,
)
def test_extra_is_json(value):
    """A value that JSON can't represent is refused."""
    with pytest.raises(RecordError):
        data_of(extra={"x": [value]})


def test_extra_that_contains_itself_is_refused():
    """The error is RecordError and not RecursionError."""
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(RecordError):
        data_of(extra={"x": loop})


@pytest.mark.parametrize("key", ["", "a.b", "a b", "ž", "x" * 64, "service_id", "Instance-ID", 7])
def test_a_key_that_cant_be_in_a_host_is_refused(key):
    """The built-in keys are refused as well: they come from the environment."""
    with pytest.raises(RecordError):
        data_of(ids={key: ["x"]})


@pytest.mark.parametrize(
    "values",
    [None, 1.5, b"ab", {"a": 1}, [None], [True], True, [1.5], [[1]], [""], "", ["\ud800"], "x" * 1001],
)
def test_an_id_is_a_text_or_an_integer(values):
    """One or several. Everything else is refused with RecordError and not with TypeError."""
    with pytest.raises(RecordError):
        data_of(ids={"shard": values})


def test_ids_may_be_one_several_or_none():
    """A value or any iterable of values; repeated values are written once, and empty lists are left out."""
    ids = {"one": 1, "text": "ab", "several": (value for value in (1, 1, "2")), "none": []}
    assert built(ids=ids)["discovery"] == {"one": [1], "text": ["ab"], "several": [1, "2"]}


@pytest.mark.parametrize(
    "web",
    [
        [("0.0.0.0", 0)],
        [("0.0.0.0", 65536)],
        [("0.0.0.0", "80")],
        [("0.0.0.0", True)],
        [("node-1", 80)],
        [("0.0.0.0",)],
        [("0.0.0.0", 80, "ftp")],
        ["0.0.0.0:80"],
        [80],
        [None],
        [([], 80)],
        80,
        "80",
    ],
    ids=ascii,
)
def test_web_is_checked(web):
    """An address and port on which no socket can listen is refused."""
    with pytest.raises(RecordError):
        data_of(web=web)


@pytest.mark.parametrize(
    "changes", [{"scheme": "ws"}, {"weight": 0}, {"weight": float("nan")}, {"weight": "2"}], ids=str
)
def test_scheme_and_weight_are_checked(changes):
    """Values that readers would ignore are refused."""
    with pytest.raises(RecordError):
        data_of(**changes)


def test_each_port_has_its_scheme():
    """One scheme is said once for all ports, and two are said for each port."""
    mixed = [("0.0.0.0", 8443, "https"), ("::", 8443, "https"), ("0.0.0.0", 8080)]
    record = built(web=mixed)
    assert record["web"] == [["0.0.0.0", 8443], ["::", 8443], ["0.0.0.0", 8080]]
    assert record["peerage"] == {"schemes": {"8443": "https", "8080": "http"}}
    instance, problems = decode("n", data_of(web=mixed))
    assert problems == ()
    assert set(instance.urls) == {"https://node-1:8443", "http://node-1:8080"}
    assert built(web=[("0.0.0.0", 8443, "https")])["peerage"] == {"scheme": "https"}
    assert built(web=[("0.0.0.0", 8443)], scheme="https")["peerage"] == {"scheme": "https"}
    assert built(web=[("::", 80, 0, 0)])["web"] == [["::", 80, 0, 0]]


def test_a_port_has_one_scheme():
    """Readers find the scheme by the port."""
    with pytest.raises(RecordError, match="Port 80"):
        data_of(web=[("10.0.0.1", 80, "http"), ("10.0.0.2", 80, "https")])


def test_more_ids_than_readers_use_are_refused():
    """The service would be found by some of its ids only."""
    with pytest.raises(RecordError, match="more than 1000 ids"):
        data_of(ids={"shard": range(500), "load": range(499)})
    assert len(built(ids={"shard": range(998)})["discovery"]["shard"]) == 998


@pytest.mark.parametrize("host", ["", "a b", "a/b", "\ud800", "0x7f000001"])
def test_a_host_that_cant_be_called_is_refused(host):
    """A mistake in ASAB_HOSTNAME is an error at once."""
    with pytest.raises(RecordError):
        data_of(identity(host=host), port=80)


@given(
    ids=st.dictionaries(
        st.from_regex(r"x[A-Za-z0-9_-]{0,8}", fullmatch=True),
        st.lists(TEXT | st.integers(), max_size=3),
        max_size=3,
    ),
    names=st.tuples(*[st.none() | TEXT] * 4),
    ports=st.lists(st.integers(1, 65535), max_size=3),
    scheme=st.sampled_from(["http", "https"]),
    weight=st.none() | st.floats(0.01, 1000) | st.integers(1, 1000),
    state=st.none() | TEXT,
)
def test_every_record_that_is_written_can_be_read(*, ids, names, ports, scheme, weight, state):
    """Without a problem, and with the same ids, endpoints, scheme, weight and state."""
    who = identity(**dict(zip(BUILTIN_KEYS, names, strict=True)))
    web = [("0.0.0.0", port) for port in ports]
    data = data_of(who, web=web, ids=ids, scheme=scheme, weight=weight, state=state)
    instance, problems = decode("n", data)
    assert problems == ()
    assert instance is not None
    expected = {(key, fold_value(name)) for key, name in zip(BUILTIN_KEYS, names, strict=True) if name}
    expected |= {(fold_value(key), fold_value(value)) for key, values in ids.items() for value in values}
    assert set(instance.ids) == expected
    assert [endpoint.port for endpoint in instance.endpoints] == list(dict.fromkeys(ports))
    assert (instance.scheme, instance.state, instance.host) == (scheme, state, "node-1")
    assert instance.weight == float(weight or 1)


@given(ids=ANYTHING, web=ANYTHING, extra=ANYTHING, weight=ANYTHING, state=ANYTHING)
def test_all_arguments_are_written_or_refused(ids, web, extra, weight, state):
    """The result is a record that is read without a problem, or RecordError."""
    try:
        data = data_of(
            identity(),
            web=web,
            ids={"shard": ids},
            extra={"more": extra},
            weight=weight,
            state=state,
        )
    except RecordError:
        return
    assert decode("n", data).problems == ()
