"""Small programs run as child processes, for the tests of every backend."""

import os
import textwrap
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

from peerage.testing.children import STRICT, Child, run
from peerage.testing.waiting import PATIENCE

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
    # Returns in the parent; the child runs it in another thread, and ends.
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
async def program(
    text: str, *args: object, within: Sequence[str] = (), **environ: str
) -> AsyncIterator[Child]:
    """Run a Python program as a child process, with warnings as errors; *within* is what executes Python."""
    arguments = ("-c", textwrap.dedent(text), *map(str, args))
    async with _python(within, arguments, environ) as child:
        yield child


@asynccontextmanager
async def module(module: ModuleType, *args: object, **environ: str) -> AsyncIterator[Child]:
    """Run a module of these tests as a child process, as :func:`program` runs a text."""
    environ["PYTHONPATH"] = f"{Path(__file__).parents[2]}:{os.environ.get('PYTHONPATH', '')}"
    async with _python((), ("-m", module.__name__, *map(str, args)), environ) as child:
        yield child


@asynccontextmanager
async def _python(
    within: Sequence[str], arguments: Sequence[str], environ: dict[str, str]
) -> AsyncIterator[Child]:
    command = (*within, *STRICT, *arguments)
    async with run(*command, environ={**os.environ, **environ}, patience=3 * PATIENCE) as child:
        yield child
