"""Looks up and asks all instances once, as a diagnosis does.

Each port is asked by a ``HEAD /``, which does nothing. It has the headers of a call, so that a server of
peerage says if it isn't the one of the record.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from peerage.calling import Resolution
from peerage.calling.candidates import hosts_of
from peerage.calling.misdirected import DIALLED, MARK, STATUS, dialled_header
from peerage.client.head import asked, by_scheme
from peerage.client.lateness import patient_timeout
from peerage.client.lookup import HostLookup
from peerage.client.outcomes import SHORTAGE
from peerage.client.tlsprobe import speaks_tls
from peerage.diagnosis.reach import PROBE_SECONDS, Answer, Reached
from peerage.records.addresses import authority, is_host
from peerage.records.instance import Endpoint, Instance
from peerage.records.names import DOMAIN
from peerage.records.networks import Networks

#: Instances that are asked at the same time: fewer than look-ups may be under way.
_AT_ONCE: Final = 100

#: Seconds for all of them together: a name server or a network that drops everything costs no more.
_SECONDS_IN_ALL: Final = 10.0

#: Ports of one instance that are asked.
_MOST_PORTS: Final = 8


@dataclass(frozen=True, slots=True)
class _Head:
    """The head of an answer."""

    status: int
    headers: dict[str, str]
    """By their names in small letters."""


async def reach(instances: Iterable[Instance], lookup: HostLookup, networks: Networks) -> list[Reached]:
    """Ask all ports of *instances* that can be called, and return how each port answered.

    Args:
        instances: to be asked.
        lookup: looks up their hosts.
        networks: where instances may be called.
    """
    places = asyncio.Semaphore(_AT_ONCE)
    until = asyncio.get_running_loop().time() + _SECONDS_IN_ALL

    async def ask(instance: Instance, endpoints: list[Endpoint]) -> Reached:
        try:
            async with asyncio.timeout_at(until), places:
                return await _Port(instance, endpoints, lookup, networks).ask()
        except TimeoutError:
            return Reached(instance, endpoints[0].authority, Answer.NOT_ASKED)

    return await asyncio.gather(
        *(ask(each, endpoints) for each in instances if each.callable for endpoints in _by_port(each))
    )


def _by_port(instance: Instance) -> Iterator[list[Endpoint]]:
    """Yield the endpoints of each port: a server that listens on IPv4 and IPv6 has two."""
    ports: dict[int, list[Endpoint]] = {}
    for endpoint in instance.endpoints:
        if endpoint.port in ports or len(ports) < _MOST_PORTS:
            ports.setdefault(endpoint.port, []).append(endpoint)
    yield from ports.values()


class _Port:
    """Asks one port of an instance, at one address after the other until it answers, as a call does."""

    def __init__(
        self, instance: Instance, endpoints: list[Endpoint], lookup: HostLookup, networks: Networks
    ) -> None:
        self._instance = instance
        self._endpoints = endpoints
        self._lookup = lookup
        self._resolution = Resolution(lookup.addresses, networks)
        self._failed: Reached | None = None

    async def ask(self) -> Reached:
        """Return the first answer, else the first failure of an address, else why there is no address."""
        for endpoint in self._endpoints:
            for host in hosts_of(self._instance, endpoint):
                for address in await self._addresses(host, endpoint):
                    reached = await self._ask(address, endpoint)
                    if reached.answer in {Answer.ANSWERED, Answer.MISDIRECTED}:
                        return reached
                    self._failed = self._failed or reached
        if self._failed is not None:
            return self._failed
        reason = "; ".join(dict.fromkeys(problem for _, problem in self._resolution.notes))
        return Reached(self._instance, self._endpoints[0].host, Answer.UNRESOLVED, reason)

    async def _addresses(self, host: str, endpoint: Endpoint) -> tuple[str, ...]:
        find = self._resolution.find
        found = await self._lookup.run(find(self._instance, host, endpoint))
        if not found:
            # A look-up has as long as in a call that has no other choice.
            late = await self._lookup.run(self._resolution.wait_for_pending())
            if not late:
                return ()
            self._resolution.notes.clear()
            found = await self._lookup.run(find(self._instance, host, endpoint))
        return tuple(found)

    async def _ask(self, address: str, endpoint: Endpoint) -> Reached:
        place = authority(address, endpoint.port)
        connected = False

        async def ask(secure: bool) -> _Head:  # noqa: FBT001 - by_scheme() passes it so
            nonlocal connected
            dialled = f"{DIALLED}: {dialled_header(self._instance.name, address, endpoint.port)}"
            host = _logical_host(self._instance)
            async with asked(address, endpoint.port, dialled, secure=secure, host=host) as reader:
                connected = True
                return _parse(await reader.readuntil(b"\r\n\r\n"))

        answer, reason = Answer.BROKEN, ""
        try:
            async with patient_timeout(PROBE_SECONDS):
                head = await by_scheme(endpoint.scheme, ask)
        except ssl.SSLError as error:
            # A server that refuses the handshake, perhaps for want of a certificate, is there.
            if "ALERT" in str(error).upper():
                answer = Answer.ANSWERED
            elif endpoint.scheme == "https":
                answer = Answer.NOT_TLS
        except TimeoutError:
            answer = Answer.SILENT if connected else Answer.UNREACHABLE
            reason = "" if connected else "no answer to a connection attempt"
        except (ConnectionResetError, EOFError, ValueError, asyncio.LimitOverrunError):
            if endpoint.scheme == "http" and await speaks_tls(address, endpoint.port):
                answer = Answer.TLS
        except OSError as error:
            answer = Answer.NOT_ASKED if error.errno in SHORTAGE else Answer.UNREACHABLE
            reason = os.strerror(error.errno) if error.errno else str(error)
        else:
            return self._answered(place, head)
        return Reached(self._instance, place, answer, reason)

    def _answered(self, place: str, head: _Head) -> Reached:
        misdirected = head.status == STATUS and MARK.lower() in head.headers
        return Reached(
            self._instance,
            place,
            Answer.MISDIRECTED if misdirected else Answer.ANSWERED,
            status=head.status,
            ahead=_seconds_ahead(head.headers.get("date")),
            unresolved="; ".join(dict.fromkeys(name for name, _ in self._resolution.notes)),
        )


def _parse(text: bytes) -> _Head:
    """Read the head of an answer; raise ValueError if it isn't HTTP."""
    first, *lines = text.decode("latin-1").split("\r\n")
    version, status, *_ = first.split(" ", 2)
    if not version.startswith("HTTP/"):
        raise ValueError("not HTTP")
    pairs = (line.partition(":") for line in lines)
    return _Head(int(status), {name.lower(): value.strip() for name, _, value in pairs})


def _seconds_ahead(date: str | None) -> float | None:
    """Return by how many seconds the clock that wrote *date* is ahead of the one here."""
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _logical_host(instance: Instance) -> str | None:
    """Return a host by which the instance is called; None if it has no id that can stand in one."""
    hosts = (f"{value}.{key}.{DOMAIN}" for key, value in instance.ids)
    return next((host for host in hosts if host.isascii() and is_host(host)), None)
