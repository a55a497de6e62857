"""What has happened in the demo so far: the instances, and how many calls each has answered."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peerage.changes import Changes, Joined, Left

#: Reports of the shop over which calls per second are counted: it makes ten a second.
_REPORTS = 11


@dataclass(slots=True)
class Member:
    """One pricing service. Times are those of the monotonic clock, which all processes of a machine share."""

    name: str
    pid: int = 0
    late: bool = False
    """Whether it joined while calls were made."""
    ready_at: float | None = None
    """When it was advertised, by its own report."""
    joined_at: float | None = None
    """When it appeared in the registry."""
    killed_at: float | None = None
    gone_at: float | None = None
    """When it disappeared from the registry."""
    first_answer_at: float | None = None
    answers: int = 0

    @property
    def state(self) -> str:
        """Its state in a word."""
        if self.killed_at is not None:
            return "killed" if self.gone_at is None else "gone"
        if self.gone_at is not None:
            return "left"
        return "starting" if self.joined_at is None else "ready"


class Score:
    """Counts what the children report, and follows the changes of the registry."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.events: list[tuple[float, str]] = []
        """What happened, with the seconds since the shop opened."""
        self.calls = 0
        self.failed = 0
        self.error: str | None = None
        """The error of the last failed call."""
        self.page: str | None = None
        """URL of the page that shows the registry, if it is served."""
        self.opened_at: float | None = None
        """When the shop's first report came."""
        self._recent: deque[tuple[float, int]] = deque(maxlen=_REPORTS)
        self._changed = asyncio.Event()

    # Writing

    def report(self, name: str, facts: dict[str, Any]) -> None:
        """Add what the child *name* reports."""
        if name in self.members:
            self.members[name].ready_at = facts["ready"]
        else:
            self._count(facts)
        self._changed.set()

    def _count(self, facts: dict[str, Any]) -> None:
        now = time.monotonic()
        if self.opened_at is None:
            self.opened_at = now
        self.calls, self.failed, self.error = facts["calls"], facts["failed"], facts["error"]
        for name, member in self.members.items():
            member.answers = facts["answers"].get(name, 0)
            if member.first_answer_at is None and name in facts["first"]:
                member.first_answer_at = facts["first"][name]
                if member.late:
                    self.note(f"{name} gave its first answer")
        self._recent.append((now, self.calls))

    async def follow(self, changes: Changes) -> None:
        """Add what the registry reports."""
        async for event in changes:
            member = self.members.get(event.instance.instance_id or "")
            if member is None:
                continue
            if isinstance(event, Joined):
                member.joined_at = time.monotonic()
                self.note(f"{member.name} joined (pid {member.pid})")
            elif isinstance(event, Left):
                member.gone_at = time.monotonic()
                self.note(f"{member.name} is gone from the registry")

    def note(self, sentence: str) -> None:
        """Note that something happened."""
        self.events.append((self.elapsed, sentence))
        self._changed.set()

    # Reading

    @property
    def elapsed(self) -> float:
        """Seconds since the shop opened."""
        return 0.0 if self.opened_at is None else time.monotonic() - self.opened_at

    @property
    def rate(self) -> float:
        """Calls per second, lately."""
        if len(self._recent) < 2:  # noqa: PLR2004 - a rate needs two points
            return 0.0
        (begin, before), (end, after) = self._recent[0], self._recent[-1]
        return (after - before) / (end - begin)

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until *holds()*, at most *seconds*, and return whether it does."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True
