"""Records, good and malformed, and the questions that asab and peerage answer differently, with the reason.

Each case is written to a separate folder, together with one good record. Both must answer a question alike
unless a difference is listed here.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["BASE", "CASES", "QUERIES", "Case", "Reason", "label"]

#: The good record that is in every folder.
BASE: Final = {
    "host": "node-0",
    "appclass": "Base",
    "instance_id": "base-1",
    "service_id": "base",
    "web": [["0.0.0.0", 8000]],
}


class Reason:
    """Why an answer differs: to remove a failure of the original, or by design."""

    RECORD = "a malformed record is skipped; in the original it stops the whole scan"
    ENTRY = "a malformed part of a record is skipped; in the original it stops the whole scan"
    NOT_CALLABLE = (
        "an instance that can't be called isn't found; the original returns a URL that doesn't work"
    )
    NO_ID = "an id is a text that isn't empty or a number, and ids come in lists"
    UTF8 = "a record is one JSON object in UTF-8, without a byte order mark"
    SIZE = "a record over 64 kB is not kept"
    BY_HAND = "a node that no session owns is listed, and never called: its process has ended"
    ONE_ADDRESS = "an entry bound to one address can be called there"
    SERVICE_ALONE = "service_id is known without an instance_id as well"
    NODES_AND_SITES = "node_id and site_id are ids as well"
    FOLDED = "ids match without regard to case: hosts of URLs arrive in lower case"
    NUMBERS = "a number and its text are one id: in a URL there is only text"
    ALIAS = "hyphens stand for underscores in the names of the built-in ids"
    BRACKETS = "an IPv6 address is in brackets in a URL"
    DEAD = "of several records with one instance_id, host and port only the newest is called"
    ALL_CRITERIA = "an instance must match all criteria; in the original, any of them"
    INSTANCE_FIRST = (
        "an instance must match all criteria; the original ignores the others if instance_id is given"
    )


def label(query: dict[str, Any]) -> str:
    """The text by which a case names a query."""
    return ", ".join(f"{key}={value!r}" for key, value in query.items())


#: The queries of every case, besides discover().
QUERIES: Final[list[dict[str, Any]]] = [
    {"service_id": "base"},
    {"instance_id": "base-1"},
    {"service_id": "svc"},
    {"instance_id": "inst-1"},
    {"node_id": "node-x"},
    {"site_id": "site-x"},
    {"shard": "9"},
    {"shard": 9},
    {"colour": "blue"},
    {"unknown": "x"},
]


#: The queries that find the record of a case, and all questions about it.
_ITS_IDS: Final = ("instance_id='inst-1'", "service_id='svc'")
_FOUND: Final = ("discover", *_ITS_IDS)
_SCAN: Final = ("scan",)


@dataclass(frozen=True)
class Case:
    """One record beside the good one."""

    name: str
    record: Any
    """An object, written as JSON; or bytes as they are."""
    why: str | None = None
    """The reason why it is answered differently."""
    differs: tuple[str, ...] = _FOUND
    """The questions answered differently, if there is a reason; ``scan``: the original answers none."""
    queries: tuple[dict[str, Any], ...] = ()
    """Further queries of this case."""
    ephemeral: bool = True
    before: dict[str, Any] | None = None
    """A record that was written before this one."""

    @property
    def data(self) -> bytes:
        """The data of the node."""
        return self.record if isinstance(self.record, bytes) else json.dumps(self.record).encode()


def _full(**changes: Any) -> dict[str, Any]:
    record = {
        "host": "node-1",
        "appclass": "App",
        "launch_time": "2024-05-01T10:00:00.000000Z",
        "process_id": 42,
        "instance_id": "inst-1",
        "service_id": "svc",
        "web": [["0.0.0.0", 8001]],
        **changes,
    }
    return {key: value for key, value in record.items() if value is not ...}


CASES: Final = [
    Case("full", _full()),
    Case("ipv6", _full(web=[["::", 8001]])),
    Case("both families", _full(web=[["0.0.0.0", 8001], ["::", 8001]])),
    Case("ipv6 of four", _full(web=[["::", 8001, 0, 0]])),
    Case("several ports", _full(web=[["0.0.0.0", 8001], ["0.0.0.0", 8002]])),
    Case("repeated entries", _full(web=[["0.0.0.0", 8001]] * 3)),
    Case("one address", _full(web=[["10.0.0.7", 8001]]), Reason.ONE_ADDRESS),
    Case("one ipv6 address", _full(web=[["fd00::7", 8001]]), Reason.ONE_ADDRESS),
    Case("loopback", _full(web=[["127.0.0.1", 8001]])),
    Case("one address and all", _full(web=[["10.0.0.7", 8001], ["0.0.0.0", 8001]]), Reason.ONE_ADDRESS),
    Case("upper case", _full(service_id="SVC", instance_id="INST-1"), Reason.FOLDED, _ITS_IDS),
    Case("no instance_id", _full(instance_id=...), Reason.SERVICE_ALONE, ("discover", "service_id='svc'")),
    Case("no service_id", _full(service_id=...)),
    Case("no id", _full(instance_id=..., service_id=...)),
    Case("node_id", _full(node_id="node-x"), Reason.NODES_AND_SITES, ("discover", "node_id='node-x'")),
    Case("site_id", _full(site_id="site-x"), Reason.NODES_AND_SITES, ("discover", "site_id='site-x'")),
    Case("custom ids", _full(discovery={"colour": ["blue", "green"]})),
    Case("custom number", _full(discovery={"shard": [9]}), Reason.NUMBERS, ("shard='9'",)),
    Case("custom number as text", _full(discovery={"shard": ["9"]}), Reason.NUMBERS, ("shard=9",)),
    Case("custom text and number", _full(discovery={"shard": ["9", 9]}), Reason.NUMBERS, ("discover",)),
    Case("custom upper case", _full(discovery={"colour": ["Blue"]}), Reason.FOLDED, ("colour='blue'",)),
    Case("custom null", _full(discovery={"colour": [None, "blue"]})),
    Case("custom bool", _full(discovery={"colour": [True]}), Reason.NO_ID, ("discover",)),
    Case("custom float", _full(discovery={"colour": [1.5]})),
    Case("custom empty", _full(discovery={"colour": []})),
    Case("custom object", _full(discovery={"colour": [{"a": 1}]}), Reason.ENTRY, _SCAN),
    Case("custom list", _full(discovery={"colour": [["blue"]]}), Reason.ENTRY, _SCAN),
    Case("custom text instead of a list", _full(discovery={"colour": "blue"}), Reason.NO_ID, ("discover",)),
    Case("custom null instead of a list", _full(discovery={"colour": None}), Reason.ENTRY, _SCAN),
    Case("custom number instead of a list", _full(discovery={"colour": 9}), Reason.ENTRY, _SCAN),
    Case(
        "custom object instead of a list",
        _full(discovery={"colour": {"blue": 1}}),
        Reason.NO_ID,
        ("discover", "colour='blue'"),
    ),
    Case("discovery null", _full(discovery=None), Reason.ENTRY, _SCAN),
    Case("discovery list", _full(discovery=["colour"]), Reason.ENTRY, _SCAN),
    Case("discovery text", _full(discovery="colour"), Reason.ENTRY, _SCAN),
    Case(
        "discovery names a top-level id",
        _full(discovery={"service_id": ["other"], "instance_id": ["other-1"]}),
    ),
    Case(
        "service_id in discovery alone",
        _full(service_id=..., instance_id=..., discovery={"service_id": ["svc"]}),
    ),
    Case("node_id in discovery", _full(discovery={"node_id": ["node-x"]})),
    Case("empty service_id", _full(service_id=""), Reason.NO_ID, ("discover",)),
    Case("number as service_id", _full(service_id=7)),
    Case("null as service_id", _full(service_id=None)),
    Case(
        "null as instance_id", _full(instance_id=None), Reason.SERVICE_ALONE, ("discover", "service_id='svc'")
    ),
    Case("list as service_id", _full(service_id=["svc"]), Reason.ENTRY, _SCAN),
    Case("list as instance_id", _full(instance_id=["inst-1"]), Reason.ENTRY, _SCAN),
    Case("bool as service_id", _full(service_id=True), Reason.NO_ID, ("discover",)),
    Case("no host", _full(host=...)),
    Case("null as host", _full(host=None)),
    Case("empty host", _full(host=""), Reason.NOT_CALLABLE),
    Case("number as host", _full(host=7), Reason.NOT_CALLABLE),
    Case("list as host", _full(host=["node-1"]), Reason.ENTRY, _SCAN),
    Case("host is an address", _full(host="10.0.0.7")),
    Case("host is an IPv6 address", _full(host="fd00::7"), Reason.BRACKETS, _ITS_IDS),
    Case("host with a blank", _full(host="node 1"), Reason.NOT_CALLABLE),
    Case("host with a slash", _full(host="node/1"), Reason.NOT_CALLABLE),
    Case("no web", _full(web=...)),
    Case("null as web", _full(web=None)),
    Case("empty web", _full(web=[])),
    Case("text as web", _full(web="0.0.0.0"), Reason.ENTRY, _SCAN),
    Case("number as web", _full(web=8001), Reason.ENTRY, _SCAN),
    Case("object as web", _full(web={"a": 1}), Reason.ENTRY, _SCAN),
    Case("null entry", _full(web=[None, ["0.0.0.0", 8001]]), Reason.ENTRY, _SCAN),
    Case("text entry", _full(web=["0.0.0.0:8001"])),
    Case("short entry", _full(web=[["0.0.0.0"], ["0.0.0.0", 8001]]), Reason.ENTRY, _SCAN),
    Case("empty entry", _full(web=[[], ["0.0.0.0", 8001]]), Reason.ENTRY, _SCAN),
    Case("object entry", _full(web=[{"address": "0.0.0.0", "port": 8001}]), Reason.ENTRY, _SCAN),
    Case("text port", _full(web=[["0.0.0.0", "8001"]]), Reason.NOT_CALLABLE),
    Case("null port", _full(web=[["0.0.0.0", None]]), Reason.NOT_CALLABLE),
    Case("float port", _full(web=[["0.0.0.0", 8001.0]]), Reason.NOT_CALLABLE),
    Case("bool port", _full(web=[["0.0.0.0", True]]), Reason.NOT_CALLABLE),
    Case("port 0", _full(web=[["0.0.0.0", 0]]), Reason.NOT_CALLABLE),
    Case("port too large", _full(web=[["0.0.0.0", 65536]]), Reason.NOT_CALLABLE),
    Case("port negative", _full(web=[["0.0.0.0", -1]]), Reason.NOT_CALLABLE),
    Case("list port", _full(web=[["0.0.0.0", [8001]]]), Reason.ENTRY, _SCAN),
    Case("unknown keys", _full(version="v1", CI_COMMIT_TAG="v1", anything={"a": [1]})),
    Case("attention", _full(attention_required={"1": {"_c": "2024-05-01T10:00:00.000000Z"}})),
    Case("own key", _full(peerage={"scheme": "http", "nonce": "n", "addresses": ["10.0.0.7"]})),
    Case("own key broken", _full(peerage="nonsense")),
    Case("unicode", _full(service_id="účty", discovery={"colour": ["blue", "žlutá"]})),
    Case("empty", b"", Reason.RECORD, _SCAN),
    Case("no JSON", b"{", Reason.RECORD, _SCAN),
    Case("no UTF-8", b'{"host": "\xff"}', Reason.RECORD, _SCAN),
    Case("UTF-16", json.dumps(_full()).encode("utf-16"), Reason.UTF8),
    Case("byte order mark", b"\xef\xbb\xbf" + json.dumps(_full()).encode(), Reason.UTF8),
    Case("null", b"null", Reason.RECORD, _SCAN),
    Case("list", b"[]", Reason.RECORD, _SCAN),
    Case("text", b'"text"', Reason.RECORD, _SCAN),
    Case("number", b"7", Reason.RECORD, _SCAN),
    Case("NaN", json.dumps(_full(weight=float("nan"))).encode()),
    Case("repeated key", b'{"service_id": "other", ' + json.dumps(_full()).encode()[1:]),
    Case("nested deeply", b'{"a":' * 3000 + b"1" + b"}" * 3000, Reason.RECORD, _SCAN),
    Case("large number", b'{"a": ' + b"9" * 5000 + b"}", Reason.RECORD, _SCAN),
    Case("60 kB", _full(noise="x" * 60_000)),
    Case("900 kB", _full(noise="x" * 900_000), Reason.SIZE),
    Case("persistent", _full(), Reason.BY_HAND, ephemeral=False),
    Case(
        "restarted",
        _full(service_id="svc"),
        Reason.DEAD,
        ("discover", "colour='blue'"),
        before=_full(discovery={"colour": ["blue"]}),
    ),
    Case(
        "restarted elsewhere", _full(), before=_full(web=[["0.0.0.0", 8002]], discovery={"colour": ["blue"]})
    ),
    # Other questions about a good record
    Case("asked in capitals", _full(), Reason.FOLDED, ("service_id='SVC'",), ({"service_id": "SVC"},)),
    Case("asked with a hyphen", _full(), Reason.ALIAS, ("service-id='svc'",), ({"service-id": "svc"},)),
    Case(
        "asked for one and another",
        _full(discovery={"colour": ["blue"]}),
        Reason.ALL_CRITERIA,
        ("service_id='base', colour='blue'",),
        ({"service_id": "base", "colour": "blue"}, {"service_id": "svc", "colour": "blue"}),
    ),
    Case(
        "asked for an instance and more",
        _full(),
        Reason.INSTANCE_FIRST,
        ("service_id='base', instance_id='inst-1'",),
        (
            {"service_id": "base", "instance_id": "inst-1"},
            {"service_id": "svc", "instance_id": "inst-1"},
        ),
    ),
]
