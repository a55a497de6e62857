"""The diagnosis of a registry and of everything in it: ``peerage doctor``.

It reads. It changes no record; the embedded registry makes its folder if there is none, as for any reader.
"""

import asyncio
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from peerage.calling import Addresses, Host, Lookups
from peerage.client.lookup import HostLookup
from peerage.client.reach import reach
from peerage.diagnosis import Diagnosable, Diagnosis, Finding, Severity
from peerage.diagnosis.environment import Surroundings, check_environment
from peerage.diagnosis.health import check_cache, check_health, check_unread
from peerage.diagnosis.reach import check_reach
from peerage.diagnosis.records import check_records
from peerage.disk_cache import disk_cache_of, from_environment
from peerage.disk_cache.format import UnusableFileError
from peerage.errors import ConfigurationError, NotReadyError
from peerage.finder import Finder
from peerage.records.identity import read_identity
from peerage.records.names import BUILTIN_KEYS
from peerage.registry import KEY_NAME, Registry
from peerage.timing import monotonic
from peerage.waiting import first_of

#: Seconds that the look-up of a host name may take.
_LOOKUP_SECONDS: Final = 2.0

#: Seconds that a registry has to be read of which nothing answered.
_LAST_CHANCE: Final = 0.2


async def diagnose(
    registry: str | Registry | None = None,
    *,
    probe: bool = True,
    timeout: float = 5.0,  # noqa: ASYNC109 - the message of NotReadyError names it
) -> Diagnosis:
    """Examine a registry, its records, and the environment of this process.

    Args:
        registry: as that of :class:`peerage.Discovery`.
        probe: whether to ask each instance by a ``HEAD /``, which does nothing.
        timeout: seconds until the records must have been read.

    Raises:
        ConfigurationError: the URL of the registry can't work.
        MissingExtraError: its backend needs a package that isn't installed.
    """
    finder = Finder(registry, suspect_seconds=0, disk_cache=False)
    lookup = _Lookup()
    opened = finder.registry
    try:
        # First, because opening a folder removes what was left in it.
        examined = []
        if isinstance(opened, Diagnosable):
            examined = await opened.diagnose(lookup.addresses, KEY_NAME)
        finder.start()
        hopeless = bool(examined) and all(each.severity is Severity.PROBLEM for each in examined)
        unread = await _unread(finder, _LAST_CHANCE if hopeless else timeout)
        health = await opened.inspect()
        # Death is seen at once where all processes are on one host.
        one_host = health.state == "connected" and health.session_timeout is None
        findings = [*check_health(health, exposed=not examined), *examined]
        findings += check_environment(await _surroundings(lookup), one_host=one_host)
        findings += await _cache(opened.url)
        if unread is not None and health.state == "connected":
            findings.append(check_unread(unread))
        elif unread is None:
            findings += check_records(finder.directory, datetime.now(UTC), one_host=one_host)
            if probe:
                instances = finder.directory.find()
                findings += check_reach(await reach(instances, lookup.hosts, finder.directory.networks))
        return Diagnosis.of(opened.url, findings)
    finally:
        await finder.aclose()


async def _unread(finder: Finder, timeout: float) -> str | None:  # noqa: ASYNC109 - as above
    """Wait until the records were read; return why they weren't."""
    membership = finder.membership
    try:
        await first_of(membership.wait_ready(timeout), membership.wait_refused())
    except NotReadyError as error:
        return membership.stale or str(error)
    return None if membership.ready else membership.stale


async def _cache(url: str) -> list[Finding]:
    """Look at the disk cache that a service of this user would start with."""
    choice = from_environment()
    cache = disk_cache_of(url, choice)
    if cache is None:
        needed = choice is False and disk_cache_of(url, True) is not None  # noqa: FBT003 - as the program chooses
        return [check_cache("", age=None, problem="")] if needed else []
    try:
        loaded = await cache.read()
    except (OSError, UnusableFileError) as error:
        return [check_cache(cache.path, age=None, problem=str(error) or "it takes too long")]
    return [check_cache(cache.path, age=None if loaded is None else loaded.age, problem="")]


class _Lookup:
    """Look-ups in threads that don't keep the process from ending."""

    def __init__(self) -> None:
        self.hosts = HostLookup(Addresses(monotonic))

    async def addresses(self, name: str) -> Sequence[str]:
        """Return the addresses of a host name; OSError if there are none."""
        host = Host(name, socket.AF_UNSPEC)
        entry = self.hosts.addresses.entry(host)
        if not entry.addresses and not entry.problem:
            await self.hosts.wait(Lookups((host,), _LOOKUP_SECONDS))
        if entry.addresses:
            return entry.addresses
        raise OSError(entry.problem or f"it wasn't looked up within {_LOOKUP_SECONDS:g} s")


async def _surroundings(lookup: _Lookup) -> Surroundings:
    try:
        identity = await asyncio.to_thread(read_identity)
    except ConfigurationError as error:
        return Surroundings({}, "", mistake=str(error))
    ids = {key: str(value) for key in BUILTIN_KEYS if (value := getattr(identity, key)) is not None}
    addresses: Sequence[str] = ()
    unresolved = ""
    try:
        addresses = await lookup.addresses(identity.host)
    except OSError as error:
        unresolved = str(error)
    return Surroundings(ids, identity.host, addresses, unresolved, identity.addresses)
