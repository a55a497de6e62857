"""Who may change or read the nodes of a registry, by their access lists; pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from peerage.backends.zookeeper.location import Location
from peerage.diagnosis import Finding, Severity


class Right(IntFlag):
    """A right in an access list."""

    READ = 1
    WRITE = 2
    CREATE = 4
    DELETE = 8
    ADMIN = 16


_CHANGE: Final = Right.WRITE | Right.CREATE | Right.DELETE | Right.ADMIN

_CLOSE: Final = (
    "Give all services the same credentials in the URL of the registry: what they create is then closed to "
    "others, and acl=creator closes what exists. If everyone is meant to have access, write acl=open in the "
    "URL. See docs/security.md."
)


@dataclass(frozen=True, slots=True)
class Access:
    """What all clients may do with a node."""

    path: str
    world: Right
    """None of them, if the list can't be read: then the node is closed to this process."""
    is_key: bool = False
    """Whether it is the private key of the cluster."""


def check_access(found: Sequence[Access], location: Location) -> list[Finding]:
    """Judge the rights that every client has, also one without credentials."""
    # What the user has chosen is no mistake.
    severity = Severity.NOTE if location.explicit_acl and location.acl == "open" else Severity.WARNING
    findings = [
        Finding("access", severity, access.path, what, _CLOSE)
        for access in found
        for what in _exposures(access)
    ]
    closed = [access.path for access in found if not any(_exposures(access))]
    if closed:
        findings.append(
            Finding(
                "access",
                Severity.OK,
                closed[0],
                f"Closed to clients without credentials: {', '.join(closed)}.",
            )
        )
    return findings


def _exposures(access: Access) -> Iterator[str]:
    if access.is_key:
        if access.world & Right.READ:
            yield (
                f"Every client that reaches the servers may read {access.path}, the private key of the "
                "cluster: it can issue tokens with all rights for every service."
            )
        elif access.world & _CHANGE:
            yield (
                f"Every client that reaches the servers may change {access.path}, the private key of the "
                "cluster: it can put its own there, and issue tokens with all rights."
            )
    elif access.world & _CHANGE:
        rights = ", ".join(
            right.name.lower() for right in Right if right.name and right & access.world & _CHANGE
        )
        yield (
            f"Every client that reaches the servers may change what is in {access.path} ({rights}): it can "
            "advertise itself as any service, and receive the requests for that with their tokens."
        )


def check_session(asked: float, granted: float) -> Finding:
    """Judge the session time-out: seconds *asked* for, and *granted* by the servers."""
    if abs(asked - granted) < 0.01:  # noqa: PLR2004 - milliseconds are rounded
        return Finding("session", Severity.OK, "", f"The session time-out is {granted:g} s, as asked for.")
    shorter = "shorter" if granted < asked else "longer"
    return Finding(
        "session",
        Severity.WARNING,
        "",
        f"The session time-out is {granted:g} s, {shorter} than the {asked:g} s asked for. That is how long "
        "the record of a process that died stays.",
        "Set minSessionTimeout or maxSessionTimeout of the servers (2 and 20 times their tickTime by "
        f"default), or write session_timeout={granted:g} in the URL of the registry.",
    )


#: Bytes of the largest answer that clients of ZooKeeper read, by default (jute.maxbuffer).
_LARGEST: Final = 0xFFFFF

#: The share of that from which the list of records is near the limit.
_NEAR: Final = 0.5


def check_children(folder: str, names: Sequence[str]) -> Finding | None:
    """Judge the size of the list of records."""
    # Each name has its length in front of it; the reply begins with the header and the number of names.
    size = 20 + sum(4 + len(name.encode()) for name in names)
    if size < _NEAR * _LARGEST:
        return None
    return Finding(
        "limits",
        Severity.WARNING,
        folder,
        f"The list of the {len(names)} nodes in {folder} takes {size / 1e6:.2f} MB. From "
        f"{_LARGEST / 1e6:.2f} MB on ZooKeeper's own clients, and ASAB's, can't read it.",
        "Use several registries (another path in the URL), or raise jute.maxbuffer of all servers and "
        "clients.",
    )
