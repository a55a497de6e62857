"""Probes instances in the background, so that no caller's request has to."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Final

from peerage.balancing import Balancer, Probe
from peerage.calling import CallContext, Resolution
from peerage.client.head import asked, by_scheme, connect
from peerage.client.lateness import Countdown, patient_timeout
from peerage.client.lookup import HostLookup
from peerage.client.outcomes import SHORTAGE
from peerage.records.instance import Endpoint, Instance

#: Seconds that an instance has to answer, and that it has if requests are waiting for it.
_SECONDS: Final = 1.0
_STALLED_SECONDS: Final = 0.3

#: Seconds after which a probe ends. An answer that arrives late, but before that, still readmits the
#: instance. Otherwise one that is slow to answer probes would never get requests again.
_LATE_SECONDS: Final = 5.0

#: Suspects that are probed at a time. When a registry has lost its data, there may be thousands of them.
_SUSPECTS_AT_ONCE: Final = 8

#: Bytes up to the status of an answer: ``HTTP/1.1 200``.
_STATUS_LINE: Final = 12

#: Statuses which say that the instance, or a proxy in front of it, can't do its work.
_FAILURES: Final = frozenset({b"429", b"502", b"503", b"504"})


class Prober:
    """Carries out the probes that the balancer asks for.

    Args:
        context: what all calls share.
        lookup: looks up the hosts of instances.
    """

    def __init__(self, context: CallContext, lookup: HostLookup) -> None:
        self._context = context
        self._lookup = lookup
        # By the names of the records.
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._suspects: dict[str, Instance] = {}
        self._closed = False
        self.on_failure: Callable[[str], None] = lambda _: None
        """Called with the name of the record of an instance that failed its probe."""

    @property
    def _balancer(self) -> Balancer:
        return self._context.balancer

    def start(self) -> None:
        """Begin to probe the instances that are due, and don't wait."""
        for instance, probe in self._balancer.take_due().items():
            self._begin(instance, partial(self._probe, instance, probe))

    def check(self, suspect: Instance) -> None:
        """Begin to find out whether *suspect* refuses connections, as soon as it is its turn; don't wait."""
        self._suspects[suspect.name] = suspect
        self._check_more()

    async def aclose(self) -> None:
        """End all probes, and begin no more."""
        self._closed = True
        self._suspects.clear()
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, instance: Instance, make: Callable[[], Coroutine[None, None, None]]) -> None:
        # One at a time, since an earlier probe may still be answered.
        if not self._closed and (name := instance.name) not in self._tasks:
            task = asyncio.get_running_loop().create_task(make(), name="peerage: probe")
            self._tasks[name] = task

    def _check_more(self) -> None:
        directory = self._context.directory
        while self._suspects and len(self._tasks) < _SUSPECTS_AT_ONCE:
            name = next(iter(self._suspects))
            suspect = self._suspects.pop(name)
            if directory.get(name) is suspect:
                self._begin(suspect, partial(self._check, suspect))

    async def _check(self, suspect: Instance) -> None:
        try:
            await self._passes(suspect, Probe.CONNECT)
        except ConnectionRefusedError:
            # Its name may be that of another record by now.
            if self._context.directory.get(suspect.name) is suspect:
                self._context.directory.refused(suspect.name)
        except OSError:
            # That proves nothing: the network may have lost what was sent.
            pass
        finally:
            del self._tasks[suspect.name]
            self._check_more()

    async def _probe(self, instance: Instance, probe: Probe) -> None:
        is_late = False

        def fail() -> None:
            nonlocal is_late
            is_late = True
            self._failed(instance.name)

        # Requests wait for the first probe of an instance that may have stalled, and for no other probe.
        urgent = probe is Probe.STALLED and instance.name not in self._balancer.avoided
        countdown = Countdown(_STALLED_SECONDS if urgent else _SECONDS, fail)
        try:
            async with patient_timeout(_LATE_SECONDS):
                passed = await self._passes(instance, probe)
        except ssl.SSLError:
            # It refuses the handshake, perhaps because a probe has no certificate. More can't be asked of it.
            passed = True
        except (EOFError, ConnectionResetError):
            # A process that has stalled doesn't close connections.
            passed = probe is Probe.STALLED
        except OSError as error:
            if error.errno in SHORTAGE:
                # This process is short of something, which says nothing about the instance.
                return
            passed = False
            if isinstance(error, ConnectionRefusedError):
                if self._context.directory.get(instance.name) is None:
                    # It has drained and closed its port, and may still answer the requests that it has.
                    return
                self._context.directory.refused(instance.name)
        finally:
            countdown.cancel()
            del self._tasks[instance.name]
            self._check_more()
        if passed:
            self._balancer.probed(instance.name, passed=True)
        elif not is_late:
            self._failed(instance.name)

    def _failed(self, name: str) -> None:
        self._balancer.probed(name, passed=False)
        self.on_failure(name)

    async def _passes(self, instance: Instance, probe: Probe) -> bool:
        endpoint = instance.endpoints[0]
        resolution = Resolution(self._context.addresses, self._context.directory.networks)
        host = endpoint.address or endpoint.host
        addresses = await self._lookup.run(resolution.find(instance, host, endpoint))
        if not addresses:
            return False
        if probe is not Probe.CONNECT:
            status = await _ask(addresses[0], endpoint)
            return probe is Probe.STALLED or status not in _FAILURES
        _, writer = await connect(addresses[0], endpoint.port, secure=False)
        writer.transport.abort()
        return True


async def _ask(address: str, endpoint: Endpoint) -> bytes:
    """Send a ``HEAD /``, which does nothing, and return the status of the answer.

    Raises:
        OSError: no connection was made, or it broke.
        EOFError: it was closed without an answer.
    """
    return await by_scheme(endpoint.scheme, lambda secure: _send_head(address, endpoint.port, secure=secure))


async def _send_head(address: str, port: int, *, secure: bool) -> bytes:
    async with asked(address, port, secure=secure) as reader:
        answer = await reader.readexactly(_STATUS_LINE)
    if not answer.startswith(b"HTTP/"):
        raise ConnectionError("The answer isn't HTTP.")
    return answer[-3:]
