"""Second attempts for requests that wait for an instance which is stopped or stuck.

A request that waits costs nothing here but an entry: a timer looks at the entries that are old. If the
instance of one is known not to answer, the request gets a second attempt elsewhere, in a task, while the
first goes on. If the second one is answered first, the first is interrupted the way :func:`asyncio.timeout`
interrupts its block: its task is cancelled, and the cancellation is taken back where it arrives.
"""

import asyncio
import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import aiohttp
from aiohttp.helpers import TimerNoop
from multidict import CIMultiDict

from peerage.balancing import Outcome
from peerage.balancing.table import SUSPECT_SECONDS
from peerage.calling import Attempt, Call, CallContext
from peerage.calling.answers import outcome_of_answer, retry_after
from peerage.client.connections import Connections, Kept
from peerage.client.outcomes import outcome_of

#: Seconds between two looks at the entries at least.
_INTERVAL: Final = 0.1

#: The attempt that was answered, its connections, and the answer.
Won = tuple[Attempt, Kept, aiohttp.ClientResponse]


class Backup:
    """A request under way, which may get a second attempt.

    Args:
        call: decides whether it may.
        attempt: the first attempt.
        request: the request.
        handler: sends it.
        prepare: has a request sent to the address of an attempt.
    """

    __slots__ = (
        "_cancelling",
        "_task",
        "attempt",
        "call",
        "check_at",
        "handler",
        "has_interrupted",
        "prepare",
        "request",
        "second",
    )

    def __init__(
        self,
        call: Call,
        attempt: Attempt,
        request: aiohttp.ClientRequest,
        handler: aiohttp.ClientHandlerType,
        prepare: Callable[[Attempt, aiohttp.ClientRequest], Kept],
    ) -> None:
        self.call = call
        self.attempt = attempt
        """The first attempt, or the one that followed it when it failed."""
        self.request = request
        self.handler = handler
        self.prepare = prepare
        self.check_at = attempt.started + SUSPECT_SECONDS
        self.second: asyncio.Task[Won | None] | None = None
        """The second attempt."""
        self.has_interrupted = False
        """Whether the first attempt was cancelled because the second was answered."""
        self._task = asyncio.current_task()
        self._cancelling = 0

    def interrupt(self) -> None:
        """Cancel the first attempt."""
        if self._task is not None:
            self.has_interrupted = True
            self._cancelling = self._task.cancelling()
            self._task.cancel()

    def take_back(self) -> bool:
        """Take the cancellation back; False if the task was cancelled for another reason as well."""
        return self._task is not None and self._task.uncancel() <= self._cancelling

    async def ignore_interruption(self) -> None:
        """Take back an interruption that came when the first attempt had just been answered."""
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        if not self.take_back():
            raise asyncio.CancelledError

    async def result(self) -> Won | None:
        """Wait for the second attempt, if there is one, and return its answer if it is no failure."""
        if self.second is None:
            return None
        await asyncio.wait([self.second])
        second, self.second = self.second, None
        return second.result()


class Backups:
    """Looks after the requests under way that may get a second attempt.

    Args:
        context: what all calls share.
        connections: the kept connections.
        probe: starts the probes that are due.
    """

    def __init__(self, context: CallContext, connections: Connections, probe: Callable[[], None]) -> None:
        self._context = context
        self._connections = connections
        self._probe = probe
        # In the order of check_at.
        self._waiting: dict[Backup, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, backup: Backup) -> None:
        """Look at *backup* from now on; :meth:`discard` must follow."""
        self._waiting[backup] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SUSPECT_SECONDS, self._look)

    def discard(self, backup: Backup) -> None:
        """Stop looking at *backup*, and give its second attempt up."""
        self._waiting.pop(backup, None)
        if backup.second is not None:
            backup.second.add_done_callback(_drop)
            backup.second.cancel()

    def check(self, name: str) -> None:
        """Give requests that wait for the instance with this record a second attempt, if it is avoided."""
        for backup in [*self._waiting]:
            if backup.attempt.instance.name == name:
                self._check(backup)

    def close(self) -> None:
        """Stop the timer; sessions that are open end their requests themselves."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._context.clock()
        for backup in [*self._waiting]:
            if backup.check_at > now:
                break
            # Looked at once a second.
            del self._waiting[backup]
            backup.check_at = now + SUSPECT_SECONDS
            self._waiting[backup] = None
            self._check(backup)
        if self._context.balancer.due:
            self._probe()
        if self._waiting:
            pause = max(_INTERVAL, next(iter(self._waiting)).check_at - now)
            self._timer = asyncio.get_running_loop().call_later(min(pause, SUSPECT_SECONDS), self._look)

    def _check(self, backup: Backup) -> None:
        attempt = backup.attempt
        if backup.second is not None or attempt.outcome is not None or backup.request.body:
            return
        if self._context.balancer.suspect(attempt.pick):
            second = backup.call.back_up(attempt)
            if second is not None:
                sending = self._send(backup, second)
                backup.second = asyncio.get_running_loop().create_task(sending, name="peerage: backup")

    async def _send(self, backup: Backup, attempt: Attempt) -> Won | None:
        """Make the second attempt; None if it fails."""
        request = copy.copy(backup.request)
        request.headers = CIMultiDict(backup.request.headers)
        # The timer of the caller's total limit keeps a stack of the tasks that it guards, and this is another
        # one beside them. The limit ends the first attempt, and so this one.
        request._timer = TimerNoop()  # noqa: SLF001 - there is no public way
        kept = backup.prepare(attempt, request)
        try:
            response = await backup.handler(request)
        except BaseException as error:
            self._connections.end(kept)
            if not isinstance(error, Exception):
                raise
            backup.call.done(attempt, outcome_of(error))
            return None
        outcome = outcome_of_answer(response.status, response.headers)
        if outcome is not Outcome.ANSWERED:
            self._connections.end(kept)
            backup.call.done(attempt, outcome, retry_after=retry_after(response.headers))
            response.close()
            return None
        if backup.attempt.outcome is None:
            backup.interrupt()
        return attempt, kept, response


def _drop(second: "asyncio.Task[Won | None]") -> None:
    """Close the answer of a second attempt that came too late."""
    if not second.cancelled() and (won := second.result()) is not None:
        won[2].close()
