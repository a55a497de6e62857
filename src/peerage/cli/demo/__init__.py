"""``peerage demo``: a shop calls pricing services; one is killed, and another one joins."""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from tempfile import TemporaryDirectory

from peerage.cli.demo.children import Children
from peerage.cli.demo.score import Member, Score
from peerage.cli.demo.show import failures, show, summary
from peerage.cli.run import CommandError, Exit, read_registry, show_outages
from peerage.cli.text import multiline
from peerage.discovery import Discovery
from peerage.membership import READY_TIMEOUT
from peerage.waiting import first_of

__all__ = ["demo"]

_SERVICES = ("pricing-1", "pricing-2", "pricing-3")
_VICTIM = "pricing-1"
_LATE = "pricing-4"
_SHOP = "shop-1"

#: Seconds after which a demo without a terminal ends.
_DEFAULT_SECONDS = 20.0

#: Seconds in which a demo without an end has shown everything.
_SHOWN = 15.0

#: Seconds in which a child must have started; a busy machine is slow to start one.
_PATIENCE = 30.0


async def demo(registry: str | None, seconds: float | None, *, with_page: bool = False) -> int:
    """Run the demo and write its summary.

    Args:
        registry: URL of a registry that processes share; by default a temporary one.
        seconds: how long; by default until Ctrl-C on a terminal, 20 s elsewhere.
        with_page: whether to serve the page of ``peerage serve`` meanwhile.
    """
    if seconds is None and not sys.stdout.isatty():
        seconds = _DEFAULT_SECONDS
    score = Score()
    with TemporaryDirectory(prefix="peerage-demo-", ignore_cleanup_errors=True) as folder:
        url = registry or f"embedded://{folder}"
        async with (
            Discovery(url) as discovery,
            AsyncExitStack() as stack,
            Children(url, score.report) as children,
        ):
            await read_registry(discovery, READY_TIMEOUT)
            show_outages()
            if with_page:
                score.page = await stack.enter_async_context(_page(discovery))
            try:
                await first_of(
                    _run(children, score, discovery, seconds),
                    children.failure(),
                    score.follow(discovery.changes()),
                    show(score),
                )
            except asyncio.CancelledError:
                # Ctrl-C is how a demo without an end ends, once it has shown everything.
                if seconds is not None or not _complete(score):
                    raise
            elapsed = score.elapsed
    sys.stdout.writelines(f"{multiline(line)}\n" for line in summary(score, elapsed))
    return Exit.FAILED if failures(score) else Exit.OK


def _page(discovery: Discovery) -> AbstractAsyncContextManager[str]:
    from peerage.cli.demo.page import page  # noqa: PLC0415 - the demo needs no server without it

    return page(discovery)


async def _run(children: Children, score: Score, discovery: Discovery, seconds: float | None) -> None:
    length = _SHOWN if seconds is None else seconds
    await asyncio.gather(*(_start(children, score, name) for name in _SERVICES))
    await _until_joined(score, discovery, *_SERVICES)
    await children.start(_SHOP)
    await _until(score, lambda: score.calls > 0, f"{_SHOP} made no call")

    await asyncio.sleep(length / 3 - score.elapsed)
    score.note(f"killing {_VICTIM} with SIGKILL (pid {score.members[_VICTIM].pid})")
    score.members[_VICTIM].killed_at = time.monotonic()
    children.kill(_VICTIM)

    await asyncio.sleep(length / 2 - score.elapsed)
    score.note(f"starting {_LATE}")
    await _start(children, score, _LATE, late=True)
    await _until_joined(score, discovery, _LATE)

    if seconds is None:
        await asyncio.Event().wait()
    await asyncio.sleep(length - score.elapsed)
    # On a busy machine the late instance may not have answered yet.
    await score.until(lambda: _complete(score), _PATIENCE)
    await children.dismiss(_SHOP)


async def _start(children: Children, score: Score, name: str, *, late: bool = False) -> None:
    # The entry comes first: the child may join before its start has returned.
    member = score.members[name] = Member(name, late=late)
    member.pid = await children.start(name)


def _complete(score: Score) -> bool:
    return _LATE in score.members and score.members[_LATE].answers > 0


async def _until_joined(score: Score, discovery: Discovery, *names: str) -> None:
    await _until(
        score,
        lambda: all(score.members[name].joined_at is not None for name in names),
        f"Not all of {', '.join(names)} appeared in {discovery.registry.url} (the demo needs a registry that "
        "processes share)",
    )


async def _until(score: Score, holds: Callable[[], bool], otherwise: str) -> None:
    if not await score.until(holds, _PATIENCE):
        raise CommandError(f"{otherwise} within {_PATIENCE:g} s.")
