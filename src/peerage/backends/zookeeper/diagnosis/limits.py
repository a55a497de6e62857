"""Whether a server is near one of its limits, by its answers to four-letter words; pure.

The names of the numbers: ZooKeeper Administrator's Guide, "The Four Letter Words", and ServerMetrics.java.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from peerage.diagnosis import Finding, Severity

_WARNING: Final = Severity.WARNING

#: The share of a limit from which it is near.
_NEAR: Final = 0.8

#: Requests that wait: a server throttles its clients at 1,000 (globalOutstandingLimit).
_OUTSTANDING: Final = 100

#: Milliseconds of a request on average.
_LATENCY: Final = 50.0

#: The share of Java's memory that the data may take: snapshots and requests need a multiple of it.
_DATA: Final = 0.25

# Up to 18 digits, so that what isn't ZooKeeper can't send a number that is none for Python.
_NUMBER: Final = re.compile(r"^(\w+)\t(-?[0-9]{1,18}(?:\.[0-9]{1,18})?)$", re.MULTILINE)
_SETTING: Final = re.compile(r"^(\w+)=([0-9]{1,18})$", re.MULTILINE)
_CLIENT: Final = re.compile(r"^ /(.+?):[0-9]+\[", re.MULTILINE)
_MEMORY: Final = re.compile(r"^os\.memory\.max=([0-9]{1,18})MB$", re.MULTILINE)

#: What each counter has counted since the server started, if it isn't 0.
_COUNTERS: Final = {
    "zk_connection_rejected": (
        "has refused connections of clients that had as many as maxClientCnxns allows",
        "Raise maxClientCnxns, or find out which host opens so many connections.",
    ),
    "zk_large_requests_rejected": (
        "has refused requests that were too large",
        "Advertise fewer ids, or raise jute.maxbuffer of all servers and clients.",
    ),
    "zk_throttled_ops": (
        "has throttled requests, because it had too many",
        "Give the server more CPU or a faster disk, or find out which client sends so many requests.",
    ),
    "zk_unrecoverable_error_count": (
        "has had errors that it can't recover from",
        "Read its log, and restart it.",
    ),
    "zk_digest_mismatches_count": (
        "has data that differs from that of the leader",
        "Read its log. Stop it, remove its data, and let it copy that of the leader.",
    ),
}


def numbers(text: str) -> dict[str, float]:
    """Return the numbers of ``mntr``, by their names."""
    return {name: float(value) for name, value in _NUMBER.findall(text)}


def check_limits(server: str, found: Mapping[str, float], words: Mapping[str, str]) -> Iterator[Finding]:
    """Judge what a server says of its load.

    Args:
        server: ``host:port``.
        found: the numbers of ``mntr``; empty if it isn't enabled.
        words: the answers of the server.
    """
    for what, todo in (
        *_load(found),
        *_descriptors(found),
        *_clients(words),
        *_memory(found, words.get("envi", "")),
        *_counters(found),
    ):
        yield Finding("limits", _WARNING, server, f"{server} {what}.", todo)


def _load(found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    waiting = found.get("zk_outstanding_requests", 0)
    if waiting >= _OUTSTANDING:
        yield (
            f"has {waiting:.0f} requests waiting, and throttles its clients at 1000",
            "Give the server more CPU or a faster disk, or find out which client sends so many requests.",
        )
    latency = found.get("zk_avg_latency", 0)
    if latency >= _LATENCY:
        yield (
            f"needs {latency:g} ms for a request on average",
            "Give its log a disk of its own, and check how long Java's garbage collection takes.",
        )


def _descriptors(found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    used, limit = found.get("zk_open_file_descriptor_count", 0), found.get("zk_max_file_descriptor_count", 0)
    if limit > 0 and used >= _NEAR * limit:
        yield (
            f"has {used:.0f} of {limit:.0f} descriptors open, one for each client",
            "Raise the limit of open files of the server (LimitNOFILE of systemd, 'ulimit -n').",
        )


def _clients(words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    limit = int(dict(_SETTING.findall(words.get("conf", ""))).get("maxClientCnxns", 0))
    clients = Counter(_CLIENT.findall(words.get("cons", "")))
    for address, count in clients.most_common(1):
        if limit and count >= _NEAR * limit:
            yield (
                f"has {count} connections from {address}, and allows {limit} from each address",
                "Raise maxClientCnxns, or let the processes there share one connection.",
            )


def _memory(found: Mapping[str, float], environment: str) -> Iterator[tuple[str, str]]:
    size = found.get("zk_approximate_data_size", 0)
    memory = _MEMORY.search(environment)
    if memory and size >= _DATA * int(memory[1]) * 1e6:
        yield (
            f"has {size / 1e6:.0f} MB of data, and Java has {memory[1]} MB of memory",
            "Remove what isn't needed, or give Java more memory (-Xmx).",
        )


def _counters(found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for name, (what, todo) in _COUNTERS.items():
        if count := found.get(name, 0):
            yield f"{what}: {count:.0f} since it started", todo
