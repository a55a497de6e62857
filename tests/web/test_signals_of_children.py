"""Processes that a server forks get their signals themselves."""

import pytest

from peerage.testing.children import STRICT, run

_PROGRAM = """
import asyncio, multiprocessing, signal, sys, time
from peerage.serving.signals import intercept_signals
if sys.argv[1] == "uvloop":
    from uvloop import new_event_loop
else:
    from asyncio import new_event_loop

async def work():
    print("work", flush=True)

def terminated():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
    child.start()
    child.terminate()
    child.join()
    return child.exitcode

async def main():
    let_go = intercept_signals(work)
    print(terminated(), await asyncio.to_thread(terminated), flush=True)
    # A signal that had come would be handled by now.
    for _ in range(10):
        await asyncio.sleep(0.01)
    let_go()
    intercept_signals(work, then=asyncio.current_task().cancel)
    signal.raise_signal(signal.SIGTERM)
    await asyncio.Event().wait()

with asyncio.Runner(loop_factory=new_event_loop) as runner:
    try:
        runner.run(main())
    except asyncio.CancelledError:
        print("over", flush=True)
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_signal_to_a_forked_child_ends_it_and_does_not_stop_the_server(loop):
    """As ``terminate()`` of a pool of processes sends it; also if a thread forks."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    # Python warns of forks in a program with several threads, since 3.12.
    strict = (*STRICT, "-W", "ignore::DeprecationWarning")
    async with run(*strict, "-c", _PROGRAM, loop) as child:
        assert await child.end() == (0, "-15 -15\nwork\nover\n"), child.log
