"""Records to read, and what is expected of the problems in them."""

import json
from pathlib import Path

from peerage.records.decode import decode

_GOLDEN = Path(__file__).parent / "golden"

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
    """Return a record as it is in a registry."""
    return (_GOLDEN / name).read_bytes()


def encoded(**changes):
    """Return GOOD with *changes*; ... leaves a field out."""
    record = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    return json.dumps(record).encode()


def read(**changes):
    """Return the instance of GOOD with *changes*, and its problems."""
    instance, problems = decode("n", encoded(**changes))
    assert instance is not None
    return instance, problems


def web(*entries, host_key=None, **changes):
    """Return the endpoints of GOOD with these entries of web, and the problems."""
    instance, problems = decode("n", encoded(web=list(entries), **changes), host_key=host_key)
    assert instance is not None
    return instance.endpoints, problems


def safe(problems):
    """Tell whether problems can be printed and logged."""
    return all(isinstance(text, str) and text.isascii() and text.isprintable() and text for text in problems)
