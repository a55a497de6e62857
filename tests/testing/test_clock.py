"""A virtual clock passes waits at once, and never the work of something in the process."""

import asyncio
import socket
import threading
import time

import anyio.to_thread
import pytest
from aiohttp import ClientTimeout

from peerage import CallOptions, Discovery, timing
from peerage import deadline as deadline_of
from peerage.errors import DeadlineExceededError
from peerage.testing import VirtualClock, begun
from peerage.testing.loopthread import LoopThread

ORDERS = "http://orders.service_id.asab/"


async def get(session, seconds):
    async with session.get(ORDERS, timeout=ClientTimeout(total=seconds)) as response:
        return await response.json()


@pytest.fixture
def passed(virtual_clock):
    """How much virtual time has passed since the test began, to the millisecond."""
    begin = virtual_clock.time()
    return lambda: round(virtual_clock.time() - begin, 3)


async def test_a_sleep_passes_at_once(passed):
    began = time.monotonic()
    await asyncio.sleep(3600)
    assert time.monotonic() - began < 600
    assert passed() == 3600


async def test_time_stands_still_while_the_loop_works(passed):
    """However long that takes."""
    time.sleep(0.02)  # noqa: ASYNC251 - the work of the loop
    for _ in range(100):
        await asyncio.sleep(0)
    assert passed() == 0


async def test_what_happens_first_has_an_earlier_time(virtual_clock):
    """Also if nothing waits in between, but not so that a timer would be missed."""
    seen = [virtual_clock.time()]
    for _ in range(100):
        await asyncio.sleep(0)
        seen.append(virtual_clock.time())
    assert len(set(seen)) > 90
    assert seen == sorted(seen)


async def test_timers_run_in_their_order(passed):
    order = []

    async def note(seconds):
        await asyncio.sleep(seconds)
        order.append((seconds, passed()))

    await asyncio.gather(*map(note, (3, 1, 2, 1.5)))
    assert order == [(each, each) for each in (1, 1.5, 2, 3)]


async def test_a_day_and_more_passes(passed):
    """The selector of asyncio waits for a day at most."""
    await asyncio.sleep(7 * 24 * 3600)
    assert passed() == 7 * 24 * 3600


async def test_the_shortest_wait_ends(passed):
    """A time that floating point can't tell from now; asyncio itself asks for none."""
    assert asyncio.get_running_loop()._selector.select(1e-15) == []
    assert passed() == 0


async def test_a_deadline_passes(passed):
    with pytest.raises(DeadlineExceededError):
        async with deadline_of(30):
            await asyncio.Event().wait()
    assert passed() == 30


async def test_no_time_passes_while_a_thread_works(passed):
    """Of the loop's executor, which looks up hosts as well, and of anyio, which runs FastAPI's functions."""
    async with asyncio.timeout(0.001):
        await asyncio.to_thread(time.sleep, 0.02)
        await anyio.to_thread.run_sync(time.sleep, 0.02)
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    assert passed() == 0


async def test_no_time_passes_while_it_is_paused(passed, virtual_clock):
    """The block may be in a thread that nothing is known of."""
    entered, go_on = threading.Event(), threading.Event()

    def work():
        with virtual_clock.paused():
            entered.set()
            go_on.wait()
            assert passed() == 0

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(20)
    sleeping = await begun(asyncio.sleep(10))
    go_on.set()
    await sleeping
    thread.join()
    assert passed() == 10


async def test_no_time_passes_while_data_is_on_its_way(passed):
    """Between two sockets of this loop, ten megabytes in each direction."""
    data = b"x" * 10_000_000

    async def echo(reader, writer):
        writer.write(await reader.readexactly(len(data)))
        await asyncio.sleep(5)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(data)
    async with asyncio.timeout(1):
        assert await reader.readexactly(len(data)) == data
    assert passed() == 0
    assert await reader.read() == b""
    assert passed() == 5
    writer.close()
    server.close()


@pytest.fixture
def thread(virtual_clock):
    thread = LoopThread("test: another loop")
    yield thread
    thread.close()


async def test_loops_of_several_threads_share_it(thread, passed):
    """A loop that computes holds the others up; each runs its timers when they are due."""

    async def work():
        for _ in range(20):
            time.sleep(0.001)  # noqa: ASYNC251 - a loop that computes
            await asyncio.sleep(1)
        return passed()

    async with asyncio.timeout(20.5):
        there = asyncio.run_coroutine_threadsafe(work(), thread.loop)
        assert await asyncio.wrap_future(there) == 20


async def test_a_hanging_peer_takes_no_real_time(peers, passed):
    orders = await peers.add("orders")
    orders.hang()
    async with Discovery() as discovery, discovery.session() as session:
        with pytest.raises(TimeoutError):
            await get(session, 20)
    assert passed() == pytest.approx(20, abs=1)


async def test_a_slow_peer_is_waited_for(peers, passed):
    """Its sleep is virtual, and what it computes takes no time."""

    async def handle(_):
        time.sleep(0.05)  # noqa: ASYNC251 - a loop that computes
        await asyncio.sleep(10)
        return "slow"

    await peers.add("orders", handle)
    async with Discovery() as discovery, discovery.session() as session:
        assert await get(session, 10.5) == "slow"
    assert passed() == pytest.approx(10, abs=0.5)


@pytest.fixture
async def earlier(peers):
    """A peer and a Discovery that are there before the clock is."""
    peers.add("orders", 1)
    async with Discovery(calls=CallOptions(wait=0)) as discovery, discovery.session() as session:
        await discovery.ready()
        yield session


async def test_what_began_before_follows_it(earlier, virtual_clock, peers):
    orders = await peers.add("orders", 1)
    orders.hang()
    (before,) = LoopThread.running
    assert before.loop.time() == asyncio.get_running_loop().time() == timing.monotonic()


def test_time_never_goes_back():
    """Neither that of a loop that outlives the clock, nor that of peerage."""
    loop = asyncio.new_event_loop()
    with VirtualClock() as clock:
        loop.run_until_complete(asyncio.sleep(3600))
        latest = clock.time()
    assert loop.time() >= latest
    assert timing.monotonic() >= latest
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_there_is_one_at_a_time(virtual_clock):
    with pytest.raises(RuntimeError, match="in use already"), VirtualClock():
        pass


def test_another_kind_of_event_loop_is_refused(virtual_clock):
    class Loop(asyncio.AbstractEventLoop):
        pass

    with pytest.raises(TypeError, match="needs an event loop of asyncio itself, not Loop"):
        virtual_clock.follow(Loop())


def test_it_is_used_without_pytest_and_leaves_asyncio_as_it_was():
    run_forever, to_thread = asyncio.BaseEventLoop.run_forever, anyio.to_thread.run_sync
    with VirtualClock(), asyncio.Runner() as runner:
        runner.run(asyncio.sleep(100))
        assert asyncio.BaseEventLoop.run_forever is not run_forever
    assert asyncio.BaseEventLoop.run_forever is run_forever
    assert anyio.to_thread.run_sync is to_thread


async def test_a_socket_of_a_server_that_accepts_nothing(passed):
    """Nothing will ever be ready, so time passes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        _, writer = await asyncio.open_connection(*listening.getsockname())
        await asyncio.sleep(30)
        writer.close()
    assert passed() == 30
