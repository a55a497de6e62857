"""Probes instances in the background, so that no caller's request has to."""

import asyncio
import ssl
from typing import TYPE_CHECKING, Final

from peerage.balancing import Balancer, Probe
from peerage.calling import CallContext, Resolution
from peerage.client.head import asked, by_scheme, connect
from peerage.client.lateness import Countdown, patient_timeout
from peerage.client.lookup import HostLookup
from peerage.client.outcomes import SHORTAGE
from peerage.records.instance import Endpoint, Instance

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that an instance has to answer, and that it has if requests are waiting for it.
_SECONDS: Final = 1.0
_STALLED_SECONDS: Final = 0.3

#: Seconds after which a probe ends. An answer that arrives late, but before that, still readmits the
#: instance. Otherwise one that is slow to answer probes would never get requests again.
_LATE_SECONDS: Final = 5.0

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
        self.on_failure: Callable[[str], None] = lambda _: None
        """Called with the name of the record of an instance that failed its probe."""

    @property
    def _balancer(self) -> Balancer:
        return self._context.balancer

    def start(self) -> None:
        """Begin to probe the instances that are due, and don't wait."""
        for instance, probe in self._balancer.take_due().items():
            # One at a time, since an earlier probe may still be answered.
            if (name := instance.name) not in self._tasks:
                probing = self._probe(instance, probe)
                self._tasks[name] = asyncio.get_running_loop().create_task(probing, name="peerage: probe")

    async def aclose(self) -> None:
        """End all probes."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _probe(self, instance: Instance, probe: Probe) -> None:
        is_late = False

        def fail() -> None:
            nonlocal is_late
            is_late = True
            self._failed(instance.name, probe)

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
        finally:
            countdown.cancel()
            del self._tasks[instance.name]
        if passed:
            self._balancer.probed(instance.name, passed=True)
        elif not is_late:
            self._failed(instance.name, probe)

    def _failed(self, name: str, probe: Probe) -> None:
        self._balancer.probed(name, passed=False)
        if probe is Probe.CONNECT:
            self._context.directory.refused(name)
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
