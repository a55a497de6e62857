"""The error messages of calls: what happened, and what to do about it.

Records are written by any program of the cluster, and messages end in terminals and logs, so everything out
of a record is escaped.
"""

from collections.abc import Sequence
from itertools import islice

from peerage.directory import Directory
from peerage.directory.suggest import nearest_key
from peerage.records.instance import Instance

#: ``(address or host with port, what happened there)``.
Note = tuple[str, str]

#: Attempts that one message lists.
_SHOWN = 5

#: Instances whose keys are compared with an unknown one; each failing call does it.
_KEYS_OF = 100

_OTHER_SCHEME = {"http": "https", "https": "http", "ws": "wss", "wss": "ws"}


def not_discovered(directory: Directory, key: str, value: str) -> str:
    """Return the message that no instance can be called by ``key=value``."""
    known = directory.find(((key, value),))
    if known:
        reasons = "; ".join(sorted({why_not_callable(instance) for instance in known}))
        if len(known) == 1:
            return (
                f"1 instance with {shown(key, value)} is known, but it can't be called: {reasons}. "
                "`peerage ls` shows its record."
            )
        return (
            f"{len(known)} instances with {shown(key, value)} are known, but none can be called: {reasons}. "
            "`peerage ls` shows their records."
        )
    if (near := nearest_key(key, islice(directory, _KEYS_OF))) is not None:
        meant = f"{ascii(value)[1:-1]}.{ascii(near)[1:-1]}.asab"
        return f"No instance with {shown(key, value)} is known. Did you mean {meant}?"
    return (
        f"No instance with {shown(key, value)} is among the {len(directory)} that are known. Check the "
        "spelling, and check with `peerage ls` that the service runs and advertises itself in this registry."
    )


def all_left(key: str, value: str, seconds: float) -> str:
    """Return the message that the last instance left *seconds* ago."""
    return (
        f"No instance with {shown(key, value)} is left: the last one left {seconds:.1f} s ago. Start it "
        "again, or find out from its log why it ended."
    )


def not_again(method: str, key: str, value: str, notes: Sequence[Note], reason: str) -> str:
    """Return the message that the caller gets the last failure as it is, and why."""
    return (
        f"{ascii(method)[1:-1]} of {shown(key, value)} failed at {_list(notes)}. It isn't sent again: "
        f"{reason}."
    )


def other_scheme(key: str, value: str, scheme: str) -> str:
    """Return the message that all instances speak TLS and the URL doesn't, or the other way round."""
    other = _OTHER_SCHEME[scheme]
    return (
        f"Every instance with {shown(key, value)} speaks {other}, not {scheme}: write {other}:// in the URL."
    )


def unresolved(key: str, value: str, notes: Sequence[Note]) -> str:
    """Return the message that no host of any instance has an address that may be called."""
    return (
        f"Instances with {shown(key, value)} are known, but none of their hosts has an address: "
        f"{_list(notes)}. Check the name service of this host, or set ASAB_HOSTNAME of the called service to "
        "a name that resolves here."
    )


def unreachable(key: str, value: str, notes: Sequence[Note]) -> str:
    """Return the message that no instance could be reached."""
    return (
        f"No instance with {shown(key, value)} could be reached: {_list(notes)}. Check that it is running "
        "and that nothing between here and there blocks the port; `peerage ls` shows where it should answer."
    )


def waiting(method: str, key: str, value: str, place: str | None, notes: Sequence[Note]) -> str:
    """Return what a call waits for: an answer from *place*, or another attempt."""
    what = "another attempt" if notes else "an instance to be called"
    what = f"an answer from {ascii(place)[1:-1]}" if place else what
    failed = f", after failures at {_list(notes)}" if notes else ""
    return f"{ascii(method)[1:-1]} of {shown(key, value)} was waiting for {what}{failed}"


def why_not_callable(instance: Instance) -> str:
    """Return why no request can be sent to *instance*."""
    if not instance.ephemeral:
        return "its record belongs to no process"
    web = instance.record().get("web")
    if not web:
        return "it advertises no web address (it doesn't listen, or doesn't say where)"
    if instance.host is None:
        return "its record names no host, or one that may not be called"
    return (
        "it listens on addresses that can't be called from here, such as loopback addresses of another host"
    )


def describe(instance: Instance) -> str:
    """Return which instance it is: its ids, where it is called, and its record."""
    label = ascii(instance.instance_id or "")[1:-1]
    service = f" of {shown('service_id', instance.service_id)}" if instance.service_id else ""
    place = f"{ascii(instance.urls[0])[1:-1]}, " if instance.urls else ""
    return f"Instance {label}{service} ({place}record {ascii(instance.name)[1:-1]})".replace("  ", " ")


def shown(key: str, value: str) -> str:
    """Return a name as messages show it."""
    return f"{ascii(key)[1:-1]}={value!a}"


def _list(notes: Sequence[Note]) -> str:
    shown = [f"{ascii(place)[1:-1]} ({ascii(what)[1:-1]})" for place, what in notes[:_SHOWN]]
    more = len(notes) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
