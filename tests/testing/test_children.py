"""The driver of child processes."""

import asyncio
import os
import signal

import pytest

from peerage.testing import eventually
from peerage.testing.children import STRICT, run


def python(text):
    """Return a command that runs *text*."""
    return (*STRICT, "-c", text)


async def test_lines_go_in_and_out_until_the_program_ends():
    """Input and output are lines; the end returns the exit code and the rest of the output."""
    text = "import sys; print(input().upper(), flush=True); input(); print('over'); sys.exit(3)"
    async with run(*python(text)) as child:
        await child.tell("hello")
        assert await child.line() == "HELLO"
        await child.tell("")
        assert await child.end() == (3, "over\n")


async def test_a_question_and_its_answer_are_json():
    async with run(*python("print('{\"asked\": ' + input() + '}')")) as child:
        assert await child.ask("a", 1, None) == {"asked": ["a", 1, None]}


async def test_a_program_that_ends_early_shows_its_standard_error():
    async with run(*python("raise ValueError('no such thing')")) as child:
        with pytest.raises(AssertionError, match="no such thing"):
            await child.line()


async def test_the_last_lines_of_the_log_are_kept():
    text = "import sys\nfor n in range(5): print(n, file=sys.stderr)"
    async with run(*python(text), log_lines=2) as child:
        assert await child.wait() == 0
        assert child.log == "3\n4\n"


async def test_how_long_a_callback_took_is_not_in_the_log():
    text = """
import asyncio, sys, time
async def main():
    asyncio.get_running_loop().slow_callback_duration = 0
asyncio.run(main())
print("over", file=sys.stderr)
"""
    async with run(*python(text)) as child:
        assert await child.wait() == 0
        assert child.log == "over\n"


async def test_a_program_that_still_runs_is_killed_and_reaped():
    async with run(*python("print('up', flush=True); input()")) as child:
        await child.line()
    assert child.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


async def test_processes_that_a_killed_program_has_started_are_killed_with_its_group():
    """They hold its pipes open, which otherwise are waited for."""
    text = "import os, time; os.fork() or print('up', flush=True); time.sleep(1000)"
    async with run(*python(text), own_group=True) as child:
        await child.line()
        child.kill()
    assert child.returncode == -signal.SIGKILL


async def test_cancelling_the_block_kills_the_program():
    children = []

    async def block():
        async with run(*python("input()")) as child:
            children.append(child)
            await child.line()

    task = asyncio.create_task(block())
    await eventually(lambda: children, "the program's start")
    task.cancel()
    await asyncio.wait([task])
    assert children[0].returncode == -signal.SIGKILL


async def test_a_program_that_writes_nothing_is_given_up():
    async with run(*python("input()"), patience=0.01) as child:
        with pytest.raises(TimeoutError):
            await child.line()


async def test_a_suspended_program_is_killed():
    async with run(*python("print('up', flush=True); input()")) as child:
        await child.line()
        child.suspend()
    assert child.returncode == -signal.SIGKILL
