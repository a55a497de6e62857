"""The connection: the order of reports, and servers that misbehave while a session is established."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from kazoo.protocol.serialization import Sync

from peerage import open_registry
from peerage.backends.zookeeper import kazoothread
from peerage.backends.zookeeper import session as session_module
from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.failures import Failure, Lost
from peerage.backends.zookeeper.location import parse
from peerage.backends.zookeeper.pauses import Pauses
from peerage.backends.zookeeper.registry import ZooKeeperRegistry
from peerage.registry import Stale
from peerage.testing import View, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.waiting import PATIENCE
from peerage.testing.zookeeper import Proxy
from peerage.testing.zookeeper.server import free_port

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = Connection(parse(url), None)
    connection.start()
    try:
        await connection.wait_connected()
        yield connection
    finally:
        await connection.aclose()


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    """A TCP server that isn't ZooKeeper; yields its address."""
    writers = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError):
            await serve(reader, writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(1000):
        pass


def lose_without_the_loop(connection: Connection) -> None:
    """Let the thread lose the connection while the event loop, which is blocked here, can't know."""
    client = connection.client
    connections = client.connections
    client.dialer.hang_up()
    deadline = time.monotonic() + 10
    while client.up is not None and client.connections == connections:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert connection.up is not None


async def test_a_request_over_a_lost_connection_fails_with_the_report(url):
    """Not earlier: a caller that retries at once would keep the loop from the report."""
    async with connected(url) as connection:
        up = connection.up
        lose_without_the_loop(connection)
        answer = connection.post(Sync("/"))
        assert not answer.done()
        with pytest.raises(Lost):
            await answer
        assert connection.up is not up


async def test_throttled_requests_fail_with_their_connection(busy_server):
    """No caller waits for ever, and the next connection isn't delayed."""
    async with connected(f"zookeeper://{busy_server.address}/busy") as connection:
        while True:
            answers = [connection.post(Sync("/")) for _ in range(200)]
            await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
            if connection._throttle_timer is not None:
                break  # whether it is busy at the moment is up to chance
            await asyncio.wait(answers)
        connection.client.dialer.hang_up()
        await asyncio.wait(answers)
        assert {type(answer.exception()) for answer in answers} == {type(None), Lost}
        await connection.wait_connected()
        await connection.post(Sync("/"))


async def test_secrets_are_asked_for_again_after_a_lost_connection(url):
    """By obtain() and follow(), while the event loop continues."""
    path = f"/{url.partition('?')[0].rpartition('/')[2]}/key"
    async with closing(open_registry(url)) as (registry,):
        assert await registry.secrets.obtain(path, lambda: b"one") == b"one"
        followed = registry.secrets.follow(path)
        assert await anext(followed) == b"one"
        lose_without_the_loop(registry.connection)
        assert await registry.secrets.obtain(path, lambda: b"two") == b"one"
        await followed.aclose()


async def test_a_half_open_connection_is_noticed_despite_requests(through, proxy):
    """Sending requests all the time doesn't count as a sign of life of the server."""
    async with closing(open_registry(through)) as (registry,), View(registry) as view:
        await view.until(lambda: view.ready)
        asking = asyncio.create_task(keep_asking(registry))
        proxy.black_hole()
        await view.until(lambda: view.stale)
        assert "no answer" in view.stale
        asking.cancel()


async def keep_asking(registry) -> None:
    while True:
        connection = registry.connection
        if connection.up is not None:
            connection.post(Sync("/")).add_done_callback(lambda future: future.exception())
        await asyncio.sleep(0.1)


class HangingUp(Proxy):
    """A proxy that resets each connection after the first bytes of the server, while hangs_up is set."""

    hangs_up = True

    def heard(self, link: asyncio.Task[None], data: bytes) -> None:
        super().heard(link, data)
        if self.hangs_up:
            # After the bytes have been passed on.
            asyncio.get_running_loop().call_soon(link.cancel)


async def test_a_full_pipe_of_wake_ups_blocks_nothing(url, server, monkeypatch):
    """Requests of lost connections leave it full: the thread is awake, and the loop continues."""
    count = 60
    full, stuck = threading.Event(), threading.Event()
    established = session_module.Client.connection_established

    def establish_slowly(client: session_module.Client, *arguments: object) -> None:
        """On kazoo's thread: it sees the end of the connection after all requests were queued."""
        established(client, *arguments)
        reading, writing = client._connection.wake_up_sockets()
        deadline = time.monotonic() + PATIENCE
        while len(client._queue) < count and not full.is_set():
            if time.monotonic() > deadline:
                # The event loop is blocked by the full pipe: make room, so that the test can fail.
                stuck.set()
                with suppress(BlockingIOError):
                    reading.recv(1000)
            time.sleep(0.001)
        try:
            writing.send(b"\0", socket.MSG_DONTWAIT)
        except BlockingIOError:
            full.set()

    monkeypatch.setattr(session_module.Client, "connection_established", establish_slowly)
    async with (
        HangingUp(server.address) as proxy,
        closing(open_registry(url.replace(server.address, proxy.address))) as (registry,),
    ):
        owners = [registry.advertise("App", b"%d" % number) for number in range(count)]
        await eventually(lambda: full.is_set() or stuck.is_set())
        proxy.hangs_up = False
        full.set()
        # Every request from here on is sent, although earlier wake-ups didn't fit into the pipe.
        await asyncio.gather(*(owner.registered() for owner in owners))
    assert not stuck.is_set()


async def test_a_request_that_cannot_be_encoded_fails_alone(url):
    """The connection and all other requests go on."""
    async with connected(url) as connection:
        up = connection.up
        before = connection.post(Sync("/"))
        bad = connection.status("/\ud800")
        after = connection.post(Sync("/"))
        with pytest.raises(Failure, match="Unicode"):
            await bad
        await before
        await after
        assert connection.up is up


async def test_a_listener_that_fails_stops_no_other_report(url):
    """The next notes are handled all the same."""
    loop = asyncio.get_running_loop()
    complaints = []
    loop.set_exception_handler(lambda _, context: complaints.append(context["exception"]))

    async with connected(url) as connection:

        def fail(*_: object) -> None:
            # With more notes queued: the thread wakes the loop for the first note only.
            deadline = time.monotonic() + PATIENCE
            while len(connection._notes) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            raise ValueError("not today")

        connection.on_event.append(fail)
        await asyncio.gather(
            connection.status("/listened", watch=True),
            connection.create("/listened", b""),
            *(connection.post(Sync("/")) for _ in range(20)),
        )
        connection.on_event.clear()
        await connection.delete("/listened")
    assert [str(error) for error in complaints] == ["not today"]


async def test_changed_counts_from_its_call():
    """A change between the call and the wait isn't missed."""
    connection = Connection(parse(f"zookeeper://127.0.0.1:{free_port()}/x"), None)
    connection.start()
    changed = connection.changed()
    await eventually(lambda: connection.reason)
    await changed
    await connection.aclose()


async def test_the_reason_names_a_server_that_never_answers():
    """First that there is no answer yet, then why; each once."""
    async with listening(hang) as address, closing(open_registry(f"zookeeper://{address}/x")) as (registry,):
        async with View(registry) as view:
            await view.until(lambda: view.stale and "doesn't answer" in view.stale)
        reasons = [event.reason for event in view.events]
        assert len(reasons) == len(set(reasons)), reasons


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"])
async def test_the_reason_names_a_server_that_is_not_zookeeper(words):
    """Another protocol on that port, or TLS."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(words)
        await writer.drain()

    async with (
        listening(answer) as address,
        closing(open_registry(f"zookeeper://{address}/x")) as (registry,),
        View(registry) as view,
    ):
        await view.until(lambda: view.stale)
        assert "isn't ZooKeeper" in view.stale


async def test_each_reason_of_servers_that_fail_in_turn_is_reported_once():
    """One refuses, one resets: two reasons, however long it lasts."""
    taken = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        taken += 1
        await reader.read(1)
        writer.close()

    async with listening(hang_up) as address:
        url = f"zookeeper://127.0.0.1:{free_port()},{address}/x"
        async with closing(open_registry(url)) as (registry,), View(registry) as view:
            await view.until(lambda: view.stale)
            since = registry.connection.since
            await eventually(lambda: taken >= 6)
            reasons = [event.reason for event in view.events if isinstance(event, Stale)]
            assert len(reasons) == len(set(reasons)) <= 3, reasons
            assert registry.connection.since == since


async def test_closing_during_a_tls_handshake_leaves_nothing():
    """Neither a thread nor a socket, while the other side sends nothing."""
    taken = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)
        taken.set()
        await hang(reader, _)

    async with listening(silent) as address:
        registry = open_registry(f"zookeeper+tls://{address}/x")
        async with View(registry):
            await taken.wait()
            await registry.aclose()
            assert "peerage: zookeeper" not in {thread.name for thread in threading.enumerate()}


async def test_the_reason_names_an_unanswered_tls_handshake():
    """It isn't an error without a text."""
    async with (
        listening(hang) as address,
        closing(open_registry(f"zookeeper+tls://{address}/x")) as (registry,),
        View(registry) as view,
    ):
        await view.until(lambda: view.stale and "TLS" in view.stale)


async def test_an_unexpected_error_is_logged_once(url, monkeypatch, caplog):
    """It is retried without end, with one traceback, and works once the error is gone."""
    tried = 0
    connect = kazoothread.ConnectionThread._connect

    def fail(*arguments: object) -> object:
        nonlocal tried
        tried += 1
        if tried <= 4:
            raise ValueError("never seen")
        return connect(*arguments)

    monkeypatch.setattr(kazoothread.ConnectionThread, "_connect", fail)
    fast = ZooKeeperRegistry(parse(url), None, Pauses(restart=lambda: 0.05))
    async with closing(fast) as (registry,), View(registry) as view:
        await view.until(lambda: view.ready)
        await registered(registry, "App", b"{}")
    assert [event.reason for event in view.events if isinstance(event, Stale)] == ["ValueError: never seen"]
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1, caplog.text
    assert said[0].exc_info
