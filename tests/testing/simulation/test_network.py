"""The simulated network: the same code sees the same over it and over the kernel's, and faults are TCP's."""

import asyncio
import os
import subprocess
import sys
import textwrap

import pytest

from peerage.testing.simulation import World

HOST = "127.0.0.1"


class Side(asyncio.Protocol):
    """Notes what one side of a connection sees."""

    def __init__(self, *, keeps_open=False, paused=False):
        self.keeps_open = keeps_open
        self.paused = paused
        self.seen = []
        self.transport = None
        self.news = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        if self.paused:
            transport.pause_reading()
        self.note("made")

    def data_received(self, data):
        if self.seen[-1][:4] == "data":
            data = bytes.fromhex(self.seen.pop()[5:]) + data
        self.note(f"data {data.hex()}")

    def eof_received(self):
        self.note("eof")
        return self.keeps_open

    def connection_lost(self, error):
        self.note(f"lost {type(error).__name__}")

    def pause_writing(self):
        self.note("pause")

    def resume_writing(self):
        self.note("resume")

    def note(self, what):
        self.seen.append(what)
        self.news.set()

    async def until(self, what):
        while not any(each.startswith(what) for each in self.seen):
            self.news.clear()
            await self.news.wait()


class Pair:
    """A server with one connection to it."""

    def __init__(self, server, port, client, accepted):
        self.server = server
        self.port = port
        self.client = client
        self.accepted = accepted

    @classmethod
    async def make(cls, *, client=None, accepted=None):
        loop = asyncio.get_running_loop()
        client, accepted = client or Side(), accepted or Side()
        server = await loop.create_server(lambda: accepted, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        await loop.create_connection(lambda: client, HOST, port)
        await accepted.until("made")
        return cls(server, port, client, accepted)

    async def end(self):
        for side in (self.client, self.accepted):
            side.transport.abort()
            await side.until("lost")
        self.server.close()
        await self.server.wait_closed()
        return [self.client.seen, self.accepted.seen]


async def talk():
    pair = await Pair.make()
    pair.client.transport.write(b"ping")
    await pair.accepted.until("data")
    pair.accepted.transport.writelines([b"po", b"ng"])
    await pair.client.until("data 706f6e67")
    pair.client.transport.close()
    await pair.accepted.until("lost")
    return await pair.end()


async def half_closed():
    pair = await Pair.make(accepted=Side(keeps_open=True))
    assert pair.client.transport.can_write_eof()
    pair.client.transport.write(b"all")
    pair.client.transport.write_eof()
    await pair.accepted.until("eof")
    pair.accepted.transport.write(b"answer")
    pair.accepted.transport.close()
    await pair.client.until("lost")
    return await pair.end()


async def closed_with_unread_data():
    pair = await Pair.make(accepted=Side(paused=True))
    pair.client.transport.write(b"never read")
    # It has arrived when something that was sent later over another connection has.
    other = await Pair.make()
    other.client.transport.write(b"read")
    await other.accepted.until("data")
    pair.accepted.transport.close()
    await pair.client.until("lost")
    return await pair.end(), await other.end()


async def sent_to_one_that_has_closed():
    pair = await Pair.make()
    pair.accepted.transport.close()
    await pair.client.until("lost")
    pair.client.transport.write(b"too late")
    return await pair.end()


async def refused():
    pair = await Pair.make()
    ended = await pair.end()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.get_running_loop().create_connection(Side, HOST, pair.port)
    return ended


async def connections_outlive_their_listener():
    pair = await Pair.make()
    pair.server.close()
    await asyncio.sleep(0)
    with pytest.raises(OSError, match=r".") as raised:
        await asyncio.get_running_loop().create_connection(Side, HOST, pair.port)
    assert isinstance(raised.value, ConnectionRefusedError)
    pair.client.transport.write(b"still there")
    await pair.accepted.until("data")
    return await pair.end()


async def an_address_in_use():
    pair = await Pair.make()
    with pytest.raises(OSError, match="use"):
        await asyncio.get_running_loop().create_server(Side, HOST, pair.port)
    return await pair.end()


async def a_slow_reader():
    pair = await Pair.make(accepted=Side(paused=True))
    left = 20_000_000
    pair.client.transport.write(bytes(left))
    await pair.client.until("pause")
    pair.accepted.transport.resume_reading()
    while left:
        await pair.accepted.until("data")
        left -= len(pair.accepted.seen.pop()[5:]) // 2
    await pair.client.until("resume")
    return await pair.end()


async def streams():
    """What StreamReader and StreamWriter do with it."""

    async def serve(reader, writer):
        line = await reader.readline()
        writer.write(line.upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        reader, writer = await asyncio.open_connection(HOST, server.sockets[0].getsockname()[1])
        writer.write(b"shout\n")
        answer = await reader.read()
        assert reader.at_eof()
        writer.close()
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    "talks",
    [
        talk,
        half_closed,
        closed_with_unread_data,
        sent_to_one_that_has_closed,
        refused,
        connections_outlive_their_listener,
        an_address_in_use,
        a_slow_reader,
        streams,
    ],
    ids=lambda talks: talks.__name__,
)
def test_the_same_is_seen_over_the_kernel_and_over_the_simulation(talks):
    """Each side sees the same events, in the same order, with the same errors."""
    real = asyncio.run(talks())
    world, results = World(), []

    async def program(_):
        results.append(await talks())

    async def happens():
        world.host("node").start(program)
        await asyncio.sleep(100)

    world.run(happens())
    assert world.failures == []
    assert results == [real]


def run_two(there, here, *, seconds=2000.0, happens=None):
    """Run a program on each of two hosts, and let *happens* be done to them."""
    world = World(seed=3)

    async def both():
        world.host("there").start(there)
        await asyncio.sleep(0.1)
        world.host("here").start(here)
        if happens is not None:
            await happens(world)
        await asyncio.sleep(seconds)

    world.run(both())
    assert world.failures == []
    return world


async def listen(host):
    await asyncio.get_running_loop().create_server(lambda: Side(keeps_open=True), host.ip, 80)
    await asyncio.Event().wait()


def test_a_handshake_that_is_not_answered_is_repeated():
    """At intervals that double; a listener that is stopped takes connections nevertheless."""
    times = []

    async def connect(host):
        loop = asyncio.get_running_loop()
        for name in ("there", "nowhere"):
            host.world.host(name)
            began = loop.time()
            try:
                await loop.create_connection(Side, name, 80)
            except OSError as error:
                times.append(type(error))
            times.append(round(loop.time() - began))

    async def happens(world):
        world.host("there").stop()
        pair = world.host("here").ip, world.host("there").ip
        world.network.cut(*pair)
        await asyncio.sleep(5)
        world.network.mend(*pair)
        world.host("nowhere").power_off()

    run_two(listen, connect, happens=happens)
    assert times == [7, TimeoutError, 127]


def test_what_is_sent_over_a_link_that_is_cut_arrives_later_or_the_connection_breaks():
    """In its order; Linux gives up after a quarter of an hour."""
    side = Side(keeps_open=True)

    async def connect(host):
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: side, host.world.host("there").ip, 80)
        transport.write(b"1")
        await asyncio.sleep(1)
        transport.write(b"2")
        transport.write(b"3")
        await asyncio.Event().wait()

    async def happens(world):
        await asyncio.sleep(0.5)
        pair = world.host("here").ip, world.host("there").ip
        world.network.cut(*pair)
        await asyncio.sleep(10)
        (accepted,) = [each.transport for each in world.host("there").process.endpoints]
        assert accepted.get_protocol().seen == ["made", "data 31"]
        world.network.mend(*pair)
        await asyncio.sleep(20)
        assert accepted.get_protocol().seen == ["made", "data 313233"]
        world.network.cut(*reversed(pair))
        accepted.write(b"lost")
        await asyncio.sleep(1200)
        assert accepted.get_protocol().seen[-1] == "lost TimeoutError"

    run_two(listen, connect, happens=happens)


def test_names():
    """They are looked up in the network's own table, which can fail or not answer."""
    found = []

    async def look_up(host):
        loop = asyncio.get_running_loop()
        found.append((await loop.getaddrinfo("there", 80))[0][4])
        for name in ("unknown", "there"):
            try:
                await loop.getaddrinfo(name, 80)
            except OSError as error:
                found.append(error.strerror)
            host.world.network.names_fail = True
        host.world.network.names_hang = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await loop.getaddrinfo("there", 80)

    run_two(listen, look_up)
    assert found == [("10.0.0.1", 80), "Name or service not known", "Temporary failure in name resolution"]


_TRACED = """
    import asyncio
    from peerage.testing.simulation import World
    from tests.testing.simulation.services import calling, serving

    world, calls = World(seed=5), []
    hosts = [world.host(f"orders-{number}") for number in range(4)]

    async def happens():
        for each in hosts:
            each.start(serving(seconds=0.02))
        for number in range(3):
            world.host(f"shop-{number}").start(calling(calls, together=4, pause=0.05))
        for each, fault in zip(hosts, ("crash", "stop", "power_off", "terminate")):
            await asyncio.sleep(0.3)
            getattr(each, fault)()
            world.network.cut(hosts[0].ip, each.ip)
        # Calls wait until there is an instance again.
        hosts[1].crash()
        await asyncio.sleep(2)
        hosts[0].start(serving())
        await asyncio.sleep(2)

    world.run(happens())
    print(*calls, *world.log, *world.failures, world.loop.turns, sep="\\n")
"""


def test_a_seed_gives_the_same_in_two_processes():
    """Neither the order of sets, which differs between processes, nor the collector has any influence."""

    def run(hash_seed):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        program = [sys.executable, "-c", textwrap.dedent(_TRACED)]
        return subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout

    traces = [run(seed) for seed in ("1", "2")]
    assert traces[0] == traces[1]
    assert len(traces[0].splitlines()) > 200
