"""The simulated client of ZooKeeper reports what the real one does, in the same order."""

import asyncio

from kazoo.protocol.serialization import Create, Delete, Exists, GetChildren
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from peerage.backends.zookeeper.handler import ignore
from peerage.backends.zookeeper.location import parse
from peerage.backends.zookeeper.notes import (
    Closed,
    Connected,
    ConnectFailed,
    Disconnected,
    NodeEvent,
    Request,
    SessionEnded,
)
from peerage.backends.zookeeper.requests import AddWatch
from peerage.backends.zookeeper.session import Client
from peerage.testing.simulation import World
from peerage.testing.simulation.zookeeper import Ensemble
from peerage.testing.zookeeper import Proxy
from peerage.testing.zookeeper.harness import shared_server

ROOT = "/reported"

#: An attempt to connect failed. Not compared: how often it does is a matter of time.
FAILED = "no connection"

#: Long: no session may time out by itself.
TIMEOUT = 20


class _Side:
    """What a client has reported, in words; sessions are called by their order."""

    def __init__(self):
        self.reported = []
        self.client = None
        self._sessions = []
        # How many reports were waited for.
        self._seen = 0
        self._changed = asyncio.Event()

    def note(self, note):
        match note:
            case Request(body=body, value=value, failure=failure):
                said = type(failure).__name__ if failure is not None else _plain(value)
                self._add(f"{type(body).__name__}: {said}")
            case NodeEvent(kind, path):
                self._add(f"event {kind} of {path}")
            case Connected(session=session, session_timeout=timeout):
                if session not in self._sessions:
                    self._sessions.append(session)
                self._add(f"connected, session {self._sessions.index(session)} of {timeout:g} s")
            case Disconnected() | SessionEnded() | Closed():
                self._add(type(note).__name__)
            case ConnectFailed():
                self._add(FAILED)

    def _add(self, text):
        self.reported.append(text)
        self._changed.set()

    async def until(self, begin):
        """Wait for the next report that begins with *begin*, after the one that was waited for before."""
        async with asyncio.timeout(60):
            while not any(text.startswith(begin) for text in self.reported[self._seen :]):
                self._changed.clear()
                await self._changed.wait()
        while not self.reported[self._seen].startswith(begin):
            self._seen += 1
        self._seen += 1

    def submit(self, body):
        future = asyncio.get_running_loop().create_future()
        assert self.client.submit(Request(body, self.client.up, self.client.report, future))

    async def ask(self, body):
        self.submit(body)
        await self.until(type(body).__name__)


def _plain(value):
    if hasattr(value, "pzxid"):
        return f"version {value.version}, {value.numChildren} children"
    return str(value)


async def scenario(side):
    """What happens to a client; returns what it has reported."""
    side.client.begin()
    await side.until("connected")
    await side.ask(Create(ROOT, b"", OPEN_ACL_UNSAFE, 0))
    await side.ask(AddWatch(ROOT))
    await side.ask(Exists(f"{ROOT}/a", ignore))
    await side.ask(GetChildren(ROOT, ignore))
    await side.ask(Create(f"{ROOT}/a", b"", CREATOR_ALL_ACL, 0))
    await side.ask(Create(f"{ROOT}/a", b"", OPEN_ACL_UNSAFE, 1))
    await side.ask(Create(f"{ROOT}/missing/a", b"", OPEN_ACL_UNSAFE, 1))

    # The session survives, and the watches don't.
    await side.cut()
    await side.until("connected")
    await side.ask(Delete(f"{ROOT}/a", 7))
    await side.ask(Exists(f"{ROOT}/a", None))

    # Another session begins, and the node of the first one is gone.
    await side.ask(Create(f"{ROOT}/b", b"", OPEN_ACL_UNSAFE, 1))
    await side.refuse()
    await side.until("Disconnected")
    await side.until(FAILED)
    await side.expire()
    await side.heal()
    await side.until("connected")
    await side.ask(Exists(f"{ROOT}/b", None))

    await side.ask(Create(f"{ROOT}/c", b"", OPEN_ACL_UNSAFE, 3))
    await side.ask(Delete(ROOT, -1))
    for name in ("/a", "/c0000000002", ""):
        await side.ask(Delete(f"{ROOT}{name}", -1))
    side.client.begin_to_close()
    await side.until("Closed")
    return [text for text in side.reported if text != FAILED]


class RealSide(_Side):
    def __init__(self, proxy):
        super().__init__()
        self._proxy = proxy
        loop = asyncio.get_running_loop()
        location = parse(f"zookeeper://user:secret@{proxy.address}/asab?session_timeout={TIMEOUT}", {})
        self.client = Client(
            location, None, lambda note: loop.call_soon_threadsafe(self.note, note), lambda: 0.1
        )
        self.expire, self.refuse, self.heal = proxy.expire_sessions, proxy.refuse, proxy.heal

    async def cut(self):
        self._proxy.cut()


class SimulatedSide(_Side):
    def __init__(self, world, ensemble, host):
        super().__init__()
        self._world, self._ensemble, self._host = world, ensemble, host
        options = {"session_timeout": TIMEOUT}
        registry = ensemble.open_registry(host, user="user:secret", options=options)
        self.client = registry.connection.client
        self.client.report = self.note

    async def cut(self):
        for endpoint in tuple(self._host.process.endpoints):
            endpoint.transport.abort()

    async def refuse(self):
        await self.cut()
        self._links(self._world.network.cut)

    async def heal(self):
        self._links(self._world.network.mend)

    def _links(self, change):
        for member in self._ensemble.members:
            change(self._host.ip, member.host.ip)
            change(member.host.ip, self._host.ip)

    async def expire(self):
        self._ensemble.expire(self._host)


def simulate():
    world = World(seed=1)
    ensemble = Ensemble(world, servers=1)
    host = world.host("client")
    reported = []

    async def program(host):
        reported.extend(await scenario(SimulatedSide(world, ensemble, host)))

    async def happens():
        ended = asyncio.Event()
        host.start(program).at_end.append(ended.set)
        await ended.wait()

    world.run(happens())
    assert world.failures == []
    return reported


async def report(address):
    async with Proxy(address) as proxy:
        return await scenario(RealSide(proxy))


def test_the_clients_report_the_same():
    """Connections, losses, answers, failures, events and the end, each in its place."""
    # Started on this thread, with which it ends.
    server = shared_server()
    assert simulate() == asyncio.run(report(server.address))
