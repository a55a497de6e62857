"""Small programs in processes of their own, for the tests of every backend."""

import asyncio
import os
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: What both sides of a test of forks begin with: registries, and forking under threads.
FORKING = """
import asyncio, os, sys, threading, warnings
from peerage.errors import RegistryClosedError
from peerage.registry import open_registry

def refused(call):
    try:
        call()
    except RegistryClosedError as error:
        return "fork" in str(error)
    return False

def forked(run):
    # Returns in the parent; the child runs it in a thread of its own, and ends.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        threading.Thread(target=run).start()
        while threading.active_count() > 1:
            [t.join() for t in threading.enumerate() if t is not threading.current_thread()]
        os._exit(0)
    return child

async def live_on(url):
    own = open_registry(url)
    await own.advertise("Child", b"child").registered()
    print("child", os.getpid(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await own.aclose()
"""


@asynccontextmanager
async def program(text: str, *args: object, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python program in a process of its own, warnings as errors; killed in the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-X", "dev", "-W", "error", "-c", textwrap.dedent(text)),
        *map(str, args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def heard(process: asyncio.subprocess.Process) -> str:
    """The next line that the program prints."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line, "the program ended early; its standard error says why"
    return line.decode().strip()
