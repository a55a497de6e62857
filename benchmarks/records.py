"""Records as in a real cluster: 773 bytes, three ids, a manifest."""

import json
from typing import Any

from peerage.registry import Record

__all__ = ["SERVICE_OF", "SIZE", "data", "local", "record", "version_mark"]

#: Bytes of a record of an ASAB cluster with its manifest.
SIZE = 773

#: Instances of one service.
SERVICE_OF = 3


def data(number: int, version: int = 0, *, size: int = SIZE, extra: dict[str, Any] | None = None) -> bytes:
    """Return the record of instance *number*; another *version* differs and has the same ids."""
    fields = {
        "host": f"node-{number % 100}",
        "appclass": "BenchApplication",
        "launch_time": "2023-12-01T10:52:29.656397Z",
        "process_id": 1000 + version,
        "instance_id": f"orders-{number}",
        "service_id": f"orders{number // SERVICE_OF}",
        "node_id": f"node-{number % 100}",
        "web": [["0.0.0.0", 8080], ["::", 8080]],  # noqa: S104 - a notation of the record
        "version": "v23.47",
        "created_at": "2023-11-29T10:00:00.000000Z",
        **(extra or {}),
        "CI_COMMIT_SHA": "",
    }
    bare = json.dumps(fields).encode()
    fields["CI_COMMIT_SHA"] = "5" * max(0, size - len(bare))
    return json.dumps(fields).encode()


def record(number: int, version: int = 0) -> Record:
    """Return the same as a registry gives it."""
    return Record(f"BenchApplication.{number:010d}", data(number, version), number)


def local(service_id: str, port: int) -> bytes:
    """Return the record of an instance on this host that listens on *port*, as its ids say, too."""
    fields = {"host": "127.0.0.1", "service_id": service_id, "instance_id": f"{service_id}-{port}"}
    return json.dumps({**fields, "web": [["0.0.0.0", port]]}).encode()  # noqa: S104 - a notation of the record


def version_mark(version: int) -> bytes:
    """Return the bytes that only records of this *version* contain."""
    return b'"process_id": %d,' % (1000 + version)
