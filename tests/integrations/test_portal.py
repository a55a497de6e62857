"""The background event loop of programs that have none: first use, errors, the end, Ctrl-C, forks."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest
from tests.backends.programs import program

from peerage import DeadlineExceededError, RegistryClosedError
from peerage.integrations.portal import Portal
from peerage.sync import deadline

#: What the programs below begin with.
PROGRAM = """
import asyncio, logging, os, signal, sys, threading, warnings
from contextlib import asynccontextmanager, suppress
from peerage import RegistryClosedError
from peerage.integrations.portal import Portal

# Python 3.12 and later warn of each fork in a program with threads.
warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
# On a busy machine, asyncio's debug mode finds that a callback takes long.
logging.getLogger("asyncio").setLevel("ERROR")

def say(word):
    # In one piece, because threads and processes write at the same time.
    os.write(1, f"{word}\\n".encode())

@asynccontextmanager
async def opening():
    try:
        yield os.getpid()
    finally:
        say("left")

async def never(begun=lambda: None):
    try:
        begun()
        await asyncio.Event().wait()
    finally:
        say("cancelled")

portal = Portal(opening)

def suppressed(coroutine):
    with suppress(RegistryClosedError):
        portal.run(coroutine)
"""


class Opening:
    """A context that counts how often it is entered and left."""

    def __init__(self):
        self.entered = self.left = 0

    @asynccontextmanager
    async def __call__(self):
        self.entered += 1
        await asyncio.sleep(0)
        try:
            yield self
        finally:
            self.left += 1


@pytest.fixture
def opening():
    return Opening()


@pytest.fixture
def portal(opening):
    portal = Portal(opening)
    yield portal
    portal.close()


async def same(value):
    await asyncio.sleep(0)
    return value


def test_threads_share_what_the_first_one_opens(portal, opening):
    """Fifty threads begin at the same time: one loop, one context, and each gets its own results."""
    together = threading.Barrier(50)

    def work(number):
        together.wait()
        return [portal.get(), *(portal.run(same((number, turn))) for turn in range(10))]

    with ThreadPoolExecutor(50) as threads:
        results = list(threads.map(work, range(50)))
    assert results == [[opening, *((number, turn) for turn in range(10))] for number in range(50)]
    portal.close()
    portal.close()
    assert (opening.entered, opening.left) == (1, 1)


def test_an_error_is_raised_in_the_caller(portal):
    """As it is, and the portal can be used afterwards."""

    async def fail():
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        portal.run(fail())
    assert portal.run(same(1)) == 1


def test_opening_that_failed_is_tried_again():
    """Each use raises the error until it succeeds."""
    obstacles = [OSError("first"), OSError("second")]

    @asynccontextmanager
    async def opening():
        if obstacles:
            raise obstacles.pop(0)
        yield "open"

    portal = Portal(opening)
    with pytest.raises(OSError, match="first"):
        portal.get()
    with pytest.raises(OSError, match="second"):
        portal.run(same(1))
    assert portal.get() == "open"
    portal.close()


async def test_it_refuses_a_thread_with_an_event_loop(portal):
    """The loop would be blocked; the message says what to use."""
    with pytest.raises(RuntimeError, match=r"use peerage\.Discovery with 'await'"):
        portal.run(same(1))
    assert await asyncio.to_thread(portal.run, same(2)) == 2


def test_closing_ends_what_runs(portal, opening):
    """Calls under way raise RegistryClosedError, and so do later ones; no thread is left."""
    running = threading.Event()
    cancelled = []

    async def never():
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(portal.run, never())
        running.wait()
        portal.close()
        with pytest.raises(RegistryClosedError, match="make another one"):
            call.result()
    assert (cancelled, opening.left) == ([True], 1)
    with pytest.raises(RegistryClosedError):
        portal.get()
    with pytest.raises(RegistryClosedError):
        portal.run(same(1))


def test_a_portal_that_was_never_used_is_closed():
    """It has no thread."""
    portal = Portal(Opening())
    portal.close()
    with pytest.raises(RegistryClosedError):
        portal.get()


def test_a_coroutine_runs_in_the_context_of_its_caller(portal):
    """Context variables and the deadline of the caller hold in it."""
    variable = ContextVar("variable")
    variable.set("the caller's")

    async def read():
        return variable.get()

    assert portal.run(read()) == "the caller's"
    with deadline(0.01), pytest.raises(DeadlineExceededError, match=r"0\.01 s"):
        portal.run(asyncio.sleep(60))
    with deadline(60), deadline(None):
        assert portal.run(same(1)) == 1


async def test_ctrl_c_cancels_the_coroutine():
    """The caller gets KeyboardInterrupt at once, and the loop goes on."""
    text = f"""{PROGRAM}
interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)
try:
    portal.run(never(interrupt))
except KeyboardInterrupt:
    say("interrupted")
async def pid():
    return os.getpid()
assert portal.run(pid()) == portal.get()
portal.close()
"""
    async with program(text) as child:
        assert {await child.line(), await child.line()} == {"interrupted", "cancelled"}
        assert await child.line() == "left"
        assert await child.end() == (0, "")
        assert not child.log


async def test_a_program_that_doesnt_close_it_ends_properly():
    """What is open is closed, and what runs in other threads doesn't keep the process."""
    text = f"""{PROGRAM}
begun = threading.Event()
threading.Thread(target=lambda: suppressed(never(begun.set)), daemon=True).start()
begun.wait()
"""
    async with program(text) as child:
        assert (await child.end())[1].split() == ["left", "cancelled"]
        assert child.returncode == 0, child.log


async def test_forked_children_begin_anew():
    """At each fork, eight threads are inside: no child waits for their locks, and the parent goes on."""
    text = f"""{PROGRAM}
async def pid():
    await asyncio.sleep(0)
    return os.getpid(), threading.current_thread().name

def work():
    while not ending:
        assert portal.run(pid()) == (os.getpid(), "peerage-portal")
        turns.append(1)

ending, turns = [], []
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for _ in range(20):
    so_far = len(turns)
    while len(turns) < so_far + 20:
        pass
    child = os.fork()
    if child == 0:
        assert portal.run(pid()) == (os.getpid(), "peerage-portal")
        assert portal.get() == os.getpid()
        portal.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
ending.append(True)
for thread in threads:
    thread.join()
assert portal.get() == os.getpid()
"""
    async with program(text) as child:
        assert (await child.end())[1].split() == ["left"] * 21
        assert (child.returncode, child.log) == (0, "")


async def test_a_lock_that_is_held_during_a_fork():
    """Its holder isn't there in the child, which doesn't wait for it."""
    text = f"""{PROGRAM}
held, ending = threading.Event(), threading.Event()

def hold():
    with portal._lock:
        held.set()
        ending.wait()

holder = threading.Thread(target=hold)
holder.start()
held.wait()
child = os.fork()
if child == 0:
    assert portal.get() == os.getpid()
    portal.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
ending.set()
holder.join()
"""
    async with program(text) as child:
        assert (await child.end())[1].split() == ["left"]
        assert (child.returncode, child.log) == (0, "")


async def test_a_forked_child_has_no_connection_of_its_parent():
    """Neither does it close one: the other end sees the parent's bytes and the parent's end only."""
    text = f"""{PROGRAM}
async def connected():
    accepted = asyncio.Queue()
    server = await asyncio.start_server(lambda *both: accepted.put_nowait(both), "127.0.0.1")
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    server.close()
    return writer, *await accepted.get()

def sockets():
    links = [f"/proc/self/fd/{{fd}}" for fd in os.listdir("/proc/self/fd")]
    return {{os.readlink(link) for link in links if os.path.lexists(link) and "socket" in os.readlink(link)}}

writer, reader, other = portal.run(connected())
threading.Thread(target=lambda: suppressed(never()), daemon=True).start()
inherited = sockets()
child = os.fork()
if child == 0:
    # asyncio keeps one end of the pipe by which its loop is woken; the child has closed the other as well.
    assert not sockets() & inherited, (sockets(), inherited)
    portal.get()
    sys.exit()
assert os.waitpid(child, 0)[1] == 0

async def goes_on():
    writer.write(b"still here")
    writer.close()
    await writer.wait_closed()
    other.close()
    return await reader.read()

assert portal.run(goes_on()) == b"still here"
"""
    async with program(text) as child:
        assert (await child.end())[1].split() == ["left", "left", "cancelled"]
        assert (child.returncode, child.log) == (0, "")
