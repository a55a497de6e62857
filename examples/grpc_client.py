"""A program that calls a gRPC service by its name: ``pip install peerage grpcio``.

grpcio has no interface for resolvers in Python. So a channel is made to the addresses of the instances, which
gRPC asks in turn, and another one when they change. Both share their connections.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import grpc.aio

from peerage import Discovery, NotDiscoveredError

#: Seconds for which calls that are under way may go on over the channel that was replaced.
GRACE = 30.0


class Service:
    """The instances of a service."""

    def __init__(self, discovery: Discovery, service_id: str) -> None:
        self.discovery = discovery
        self.service_id = service_id
        self.urls: set[str] = set()
        self._channel: grpc.aio.Channel | None = None

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel to those that are known now: take it for each call."""
        if self._channel is None:
            raise NotDiscoveredError(f"No instance with service_id={self.service_id!r} is known.")
        return self._channel

    async def renew(self) -> grpc.aio.Channel | None:
        """Make another channel if the instances have changed; return the one before."""
        urls = await self.discovery.locate(service_id=self.service_id)
        if urls == self.urls:
            return None
        target = ",".join([await address_of(url) for url in sorted(urls)])
        before, self.urls = self._channel, urls
        options = [("grpc.lb_policy_name", "round_robin")]
        self._channel = grpc.aio.insecure_channel(f"ipv4:{target}", options) if urls else None
        return before

    async def follow(self) -> None:
        """Renew the channel until cancelled."""
        async with asyncio.TaskGroup() as closing:
            async for _ in self.discovery.changes():
                if (before := await self.renew()) is not None:
                    closing.create_task(before.close(GRACE))


@asynccontextmanager
async def following(discovery: Discovery, service_id: str) -> AsyncIterator[Service]:
    """Know the instances of a service in the block."""
    service = Service(discovery, service_id)
    await service.renew()
    task = asyncio.create_task(service.follow())
    try:
        yield service
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if service.urls:
            await service.channel.close()


async def address_of(url: str) -> str:
    """Return the address of an instance as gRPC writes it."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(parts.hostname, parts.port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    host, port = found[0][4]
    return f"{host}:{port}"


async def main() -> None:
    async with Discovery() as discovery, following(discovery, "orders") as orders:
        list_orders = orders.channel.unary_unary("/shop.Orders/List")
        print(await list_orders(b"", timeout=5, wait_for_ready=True))


if __name__ == "__main__":
    asyncio.run(main())
