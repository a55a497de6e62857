"""Tries avoided instances in the background, so that no caller's request has to."""

import asyncio
from typing import TYPE_CHECKING, Final

from peerage.balancing import Balancer, Probe
from peerage.calling import CallContext, Resolution
from peerage.client.lookup import HostLookup
from peerage.client.tlsprobe import unverified_context
from peerage.records.addresses import authority
from peerage.records.instance import Endpoint, Instance

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

#: Seconds that an instance has, and one that is suspected while requests wait for it.
_SECONDS: Final = 1.0
_STALLED_SECONDS: Final = 0.3

#: Bytes up to the status of an answer: ``HTTP/1.1 200``.
_STATUS_LINE: Final = 12

#: The instance, or a proxy in front of it, answers, and can't do its work.
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
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_failure: Callable[[str], None] = lambda _: None
        """Called with the name of the record of an instance that failed its probe."""

    @property
    def _balancer(self) -> Balancer:
        return self._context.balancer

    def start(self) -> None:
        """Begin to probe the instances that are due, and don't wait."""
        for instance, probe in self._balancer.take_due().items():
            task = asyncio.get_running_loop().create_task(self._probe(instance, probe), name="peerage: probe")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """End all probes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _probe(self, instance: Instance, probe: Probe) -> None:
        try:
            async with asyncio.timeout(_STALLED_SECONDS if probe is Probe.STALLED else _SECONDS):
                passed = await self._passes(instance, probe)
        except (OSError, EOFError):
            passed = False
        self._balancer.probed(instance.name, passed=passed)
        if not passed:
            if probe is Probe.CONNECT:
                self._context.directory.refused(instance.name)
            self.on_failure(instance.name)

    async def _passes(self, instance: Instance, probe: Probe) -> bool:
        endpoint = instance.endpoints[0]
        resolution = Resolution(self._context.addresses, self._context.directory.networks)
        host = endpoint.address or endpoint.host
        addresses = await self._lookup.run(resolution.find(instance, host, endpoint))
        if not addresses:
            return False
        if probe is not Probe.CONNECT:
            return await _answers(addresses[0], endpoint)
        _, writer = await asyncio.open_connection(addresses[0], endpoint.port)
        writer.transport.abort()
        return True


async def _answers(address: str, endpoint: Endpoint) -> bool:
    """Tell whether the instance answers a request that does nothing."""
    tls: ssl.SSLContext | None = unverified_context() if endpoint.scheme == "https" else None
    reader, writer = await asyncio.open_connection(address, endpoint.port, ssl=tls)
    try:
        lines = (
            "HEAD / HTTP/1.1",
            f"Host: {authority(address, endpoint.port)}",
            "User-Agent: peerage",
            "Connection: close",
            "",
            "",
        )
        writer.write("\r\n".join(lines).encode())
        answer = await reader.readexactly(_STATUS_LINE)
        return answer.startswith(b"HTTP/") and answer[-3:] not in _FAILURES
    finally:
        writer.transport.abort()
