"""The faults of the proxy, between a client and a server that echoes."""

import asyncio
import socket
import struct
import time

import pytest

from peerage.testing import eventually
from peerage.testing.zookeeper import Proxy


class Echo:
    """Echoes all bytes and the end of the stream; counts its connections."""

    def __init__(self, greeting=b""):
        self.greeting = greeting
        self.here = 0
        self.heard = b""

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = "{}:{}".format(*self.server.sockets[0].getsockname())
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await eventually(lambda: not self.here, "the end of the echo's connections")

    async def _serve(self, reader, writer):
        self.here += 1
        self.writer = writer
        try:
            writer.write(self.greeting)
            while data := await reader.read(65536):
                self.heard += data
                writer.write(data)
                await writer.drain()
            writer.write(b"bye")
            await writer.drain()
        except ConnectionError:
            pass  # cut
        finally:
            self.here -= 1
            writer.transport.abort() if writer.transport.is_closing() else writer.close()


class Through:
    """A connection to the echo through the proxy."""

    def __init__(self, proxy):
        self._proxy = proxy

    async def __aenter__(self):
        host, _, port = self._proxy.address.rpartition(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *_):
        self.writer.transport.abort()
        await asyncio.sleep(0)

    async def echo(self, data):
        self.writer.write(data)
        async with asyncio.timeout(20):
            return await self.reader.readexactly(len(data))

    async def is_reset(self):
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionResetError):
                await self.reader.read()


@pytest.fixture
async def echo():
    async with Echo() as server:
        yield server


@pytest.fixture
async def proxy(echo):
    async with Proxy(echo.address) as proxy:
        yield proxy
    await proxy.aclose()


async def test_bytes_and_ends_pass_both_ways(proxy, echo):
    """More bytes than any buffer holds; after its end, a client still gets all that was under way."""
    data = bytes(range(256)) * 20_000
    async with Through(proxy) as client:
        assert await client.echo(data) == data
        client.writer.write_eof()
        assert await client.reader.read() == b"bye"
        await eventually(lambda: not proxy._links, "the end of the link")


async def test_cut_connections_are_reset_and_new_ones_accepted(proxy, echo):
    """On the side of the server as well."""
    async with Through(proxy) as client:
        await client.echo(b"1")
        proxy.cut()
        await client.is_reset()
        await eventually(lambda: not echo.here, "the server learns it")
        async with Through(proxy) as again:
            assert await again.echo(b"2") == b"2"


async def test_no_other_process_takes_the_port_while_connections_are_refused(proxy):
    host, _, port = proxy.address.rpartition(":")
    async with Through(proxy) as client:
        await client.echo(b"1")
        await proxy.refuse()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind((host, int(port)))
    await proxy.heal()


async def test_connections_are_refused_until_healed(proxy):
    """Afterwards they are accepted on the same port."""
    address = proxy.address
    async with Through(proxy) as client:
        await client.echo(b"1")
        await proxy.refuse()
        await client.is_reset()
        with pytest.raises(ConnectionRefusedError):
            async with Through(proxy):
                pass
        await proxy.refuse()
        await proxy.heal()
        assert proxy.address == address
        async with Through(proxy) as again:
            assert await again.echo(b"2") == b"2"


async def test_a_black_hole_swallows_everything(proxy, echo):
    """Both ways, for old connections and new; no side learns of the other's end; healing resets them."""
    async with Through(proxy) as old, Through(proxy) as gone:
        await old.echo(b"1")
        await gone.echo(b"1")
        proxy.black_hole()
        async with Through(proxy) as new:
            for client in (old, new):
                client.writer.write(b"lost")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await client.reader.read(1)
            gone.writer.transport.abort()
            await asyncio.sleep(0.05)
            assert echo.here == 2
            await proxy.heal()
            await old.is_reset()
            await new.is_reset()
        await eventually(lambda: not echo.here, "the server learns it")
        assert echo.heard == b"11"
        async with Through(proxy) as again:
            assert await again.echo(b"2") == b"2"


async def test_answers_are_swallowed_until_healed(proxy, echo):
    """The bytes of the client arrive all the time."""
    async with Through(proxy) as client:
        await client.echo(b"1")
        proxy.swallow_answers()
        client.writer.write(b"2")
        await eventually(lambda: echo.heard == b"12", "the server hears it")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.reader.read(1)
        await proxy.heal()
        await client.is_reset()
        async with Through(proxy) as again:
            assert await again.echo(b"3") == b"3"


async def test_a_black_hole_can_be_closed(proxy, echo):
    """With half-open connections."""
    async with Through(proxy) as client:
        await client.echo(b"1")
        proxy.black_hole()
        await proxy.aclose()
        assert not proxy._links
        await client.is_reset()


async def test_delayed_bytes_keep_their_order(proxy):
    """Each way is delayed; later bytes don't overtake, and none is lost at the end."""
    async with Through(proxy) as client:
        await client.echo(b"-")
        proxy.delay(0.1)
        begin = time.monotonic()
        assert await client.echo(b"1") == b"1"
        assert time.monotonic() - begin >= 0.2
        wanted = b""
        for number in range(200):
            if number == 100:
                await proxy.heal()
            part = b"%d " % number
            wanted += part
            client.writer.write(part)
            await asyncio.sleep(0)
        client.writer.write_eof()
        async with asyncio.timeout(20):
            assert await client.reader.read() == wanted + b"bye"


async def test_a_target_that_is_down():
    """The client is connected and then reset."""
    async with Echo() as gone:
        pass
    async with Proxy(gone.address) as proxy, Through(proxy) as client:
        await client.is_reset()


async def test_closing_while_a_connection_is_opened():
    """The attempt ends, to a target that doesn't answer."""
    async with Proxy("192.0.2.1:9") as proxy, Through(proxy) as client:
        await eventually(lambda: proxy._links, "the link")
        await proxy.aclose()
        await client.is_reset()


async def test_other_protocols_have_no_sessions(echo):
    """Whatever the first bytes of the server are."""
    for greeting in (b"", b"x", bytes(41), bytes(range(200)), b"\0\0\0\x25" + bytes(37)):
        async with Echo(greeting) as server:
            proxy = Proxy(server.address)
            await proxy.start()
            async with Through(proxy) as client:
                assert await client.reader.readexactly(len(greeting)) == greeting
            assert not proxy.sessions
            await proxy.aclose()


async def test_an_end_that_follows_a_reset_is_no_error(proxy, echo):
    """The client has gone before the proxy notices: nothing is raised in the event loop."""
    host, _, port = proxy.address.rpartition(":")
    client = await asyncio.to_thread(socket.create_connection, (host, int(port)))
    await eventually(lambda: echo.here, "the connection to the echo")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    echo.writer.write_eof()
    await eventually(lambda: not proxy._links, "the end of both connections")
