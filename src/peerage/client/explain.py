"""Error messages of the client: what happened, and what to do about it.

What stands in records was written by anybody, and messages end in terminals and logs: everything out of a
record is escaped.
"""

from collections.abc import Sequence

from peerage.client.errors import UnreachableError, UnreachableTimeoutError
from peerage.directory import Directory
from peerage.errors import NotDiscoveredError
from peerage.records.instance import Instance

__all__ = ["Attempt", "not_discovered", "other_scheme", "unreachable", "unresolved"]

#: ``(place, what happened there)``.
Attempt = tuple[str, str]

#: Attempts spelled out in one message.
_SHOWN = 5


def not_discovered(directory: Directory, key: str, value: str) -> NotDiscoveredError:
    """Explain why there is nobody to call by ``key=value``."""
    known = directory.find(((key, value),))
    if known:
        reasons = sorted({_why_not_callable(instance) for instance in known})
        return NotDiscoveredError(
            f"{_many(len(known), 'instance')} with {_name(key, value)} known, but none can be called: "
            f"{'; '.join(reasons)}. `peerage ls` shows the records."
        )
    return NotDiscoveredError(
        f"No instance with {_name(key, value)} among the {len(directory)} known. Check the spelling, and "
        "with `peerage ls` that it is running and advertises itself in this registry."
    )


def other_scheme(key: str, value: str, scheme: str) -> NotDiscoveredError:
    """Explain that all instances speak TLS and the URL doesn't, or the other way round."""
    other = {"http": "https", "https": "http", "ws": "wss", "wss": "ws"}[scheme]
    return NotDiscoveredError(
        f"Every instance with {_name(key, value)} answers {other}, not {scheme}: write {other}:// in the URL."
    )


def unresolved(key: str, value: str, attempts: Sequence[Attempt]) -> NotDiscoveredError:
    """Explain that no host of any instance has an address."""
    return NotDiscoveredError(
        f"Instances with {_name(key, value)} are known, but no host of theirs resolves: {_list(attempts)}. "
        "Check the name service of this host, or set its ASAB_HOSTNAME to a name that resolves here."
    )


def unreachable(key: str, value: str, attempts: Sequence[Attempt], *, timed_out: bool) -> UnreachableError:
    """Explain that nobody could be reached."""
    kind = UnreachableTimeoutError if timed_out else UnreachableError
    return kind(
        f"No instance with {_name(key, value)} could be reached: {_list(attempts)}. Check that it is running "
        "and that nothing between here and there blocks the port; `peerage ls` shows where it should answer."
    )


def _why_not_callable(instance: Instance) -> str:
    if not instance.ephemeral:
        return "its record belongs to no process"
    web = instance.record().get("web")
    if not web:
        return "it advertises no web address (it doesn't listen, or doesn't say where)"
    if instance.host is None:
        return "its record names no host, or one that isn't called"
    return "it listens on loopback or link-local addresses of another host only, or on others never called"


def _name(key: str, value: str) -> str:
    return f"{ascii(key)[1:-1]}={value!a}"


def _many(count: int, thing: str) -> str:
    return f"{count} {thing} is" if count == 1 else f"{count} {thing}s are"


def _list(attempts: Sequence[Attempt]) -> str:
    shown = [f"{ascii(place)[1:-1]} ({ascii(what)[1:-1]})" for place, what in attempts[:_SHOWN]]
    more = len(attempts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
