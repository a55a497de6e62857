"""What a server has installed for a signal is found, whichever event loop it uses."""

import pytest

from peerage.testing.children import STRICT, run

_PROGRAM = """
import asyncio, signal, sys
from peerage.serving.loop_signals import loop_handler
if sys.argv[1] == "uvloop":
    from uvloop import new_event_loop
else:
    from asyncio import new_event_loop

async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, print, "SIGTERM", "with arguments")
    loop.add_signal_handler(signal.SIGHUP, print)
    terminate, hang_up = loop_handler(loop, signal.SIGTERM), loop_handler(loop, signal.SIGHUP)
    print(loop_handler(loop, signal.SIGUSR1))
    loop.add_signal_handler(signal.SIGTERM, print, "taken")
    loop.add_signal_handler(signal.SIGHUP, print, "taken")
    terminate()
    hang_up()
    loop.remove_signal_handler(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: None)
    print(loop_handler(loop, signal.SIGTERM))

with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_the_handler_in_an_event_loop_is_found(loop):
    """With its arguments, also if it was installed by a loop that hides it; None where none is."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    async with run(*STRICT, "-c", _PROGRAM, loop) as child:
        assert await child.end() == (0, "None\nSIGTERM with arguments\n\nNone\n"), child.log
