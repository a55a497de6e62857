"""The shop: asks for prices by name all the time, and counts the answers and the failures."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from peerage.cli.demo.role import report, run_role, until_dismissed
from peerage.discovery import Discovery

_WORKERS = 6

#: Seconds between two calls of a worker, so that the demo makes thousands and leaves CPU for others.
_PAUSE = 0.01

#: Seconds between two reports.
_REPORT = 0.1


@dataclass
class _Tally:
    calls: int = 0
    failed: int = 0
    error: str | None = None
    answers: Counter[str] = field(default_factory=Counter)
    first: dict[str, float] = field(default_factory=dict)
    """When the first answer of each instance came; the monotonic clock is the same for all of one machine."""

    def answered(self, name: str) -> None:
        self.calls += 1
        self.answers[name] += 1
        self.first.setdefault(name, time.monotonic())

    def failure(self, error: Exception) -> None:
        self.calls += 1
        self.failed += 1
        self.error = f"{type(error).__name__}: {error}"


async def _shop(session: aiohttp.ClientSession, worker: int, tally: _Tally, closing: asyncio.Event) -> None:
    number = 0
    while not closing.is_set():
        number += 1
        try:
            async with session.get(f"/price/item-{worker}-{number}") as response:
                response.raise_for_status()
                tally.answered((await response.json())["by"])
        except Exception as error:  # noqa: BLE001 - every exception is a failed call
            tally.failure(error)
        await asyncio.sleep(_PAUSE)


async def _send_reports(tally: _Tally) -> None:
    while True:
        report(**vars(tally))
        await asyncio.sleep(_REPORT)


async def main() -> None:
    """Call until dismissed; calls under way are finished, and counted."""
    tally, closing = _Tally(), asyncio.Event()
    async with (
        Discovery() as discovery,
        discovery.session(
            "http://pricing.service_id.asab", timeout=aiohttp.ClientTimeout(total=5)
        ) as session,
        asyncio.TaskGroup() as tasks,
    ):
        for worker in range(_WORKERS):
            tasks.create_task(_shop(session, worker, tally, closing))
        reports = tasks.create_task(_send_reports(tally))
        await until_dismissed()
        closing.set()
        reports.cancel()
    report(**vars(tally))


if __name__ == "__main__":
    run_role(main())
