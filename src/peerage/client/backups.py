"""Backups: second attempts for requests whose instance has stalled, and for hedged requests.

A request under way costs only an entry in a table, and a timer checks the entries that are old. If the
instance of a request has stalled, the request gets a backup: a second attempt at another instance, in a task
of its own, while the first one goes on. If the backup is answered first, the first attempt is interrupted in
the way in which :func:`asyncio.timeout` interrupts its block: the task is cancelled, and the cancellation is
taken back where it arrives.

A request that still waits for its connection is interrupted at once, whatever its method: nothing was sent,
so it goes to another instance as if the connection had been refused.
"""

import asyncio
import copy
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.helpers import TimerNoop
from multidict import CIMultiDict

from peerage.balancing import Outcome
from peerage.balancing.stalling import STALL_SECONDS
from peerage.calling import Attempt, CallContext
from peerage.calling.answers import outcome_of_answer, retry_after
from peerage.client.connections import Connections, Kept
from peerage.client.lateness import Lateness
from peerage.client.outcomes import is_refusal, outcome_of

if TYPE_CHECKING:
    from peerage.client.exchange import Exchange

#: Seconds between two checks of the entries.
_INTERVAL: Final = 0.1

#: The attempt that was answered, its connections, and the answer.
Won = tuple[Attempt, Kept, aiohttp.ClientResponse]


class Backup:
    """The backup of an attempt that *task* makes."""

    __slots__ = ("_cancelling", "_task", "has_interrupted", "second")

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self.second: asyncio.Task[Won | None] | None = None
        """The task that makes the backup; None if the first attempt is only to be given up."""
        self.has_interrupted = False
        """Whether the first attempt was cancelled."""
        self._task = task
        # Counted now and not at the interruption, just before which the caller may cancel the task.
        self._cancelling = task.cancelling()

    def interrupt(self) -> None:
        """Cancel the first attempt."""
        self.has_interrupted = True
        self._task.cancel()

    def take_back(self) -> bool:
        """Take the cancellation back; return False if the task was cancelled for another reason as well."""
        return self._task.uncancel() <= self._cancelling

    async def ignore_interruption(self) -> None:
        """Take back an interruption that arrived when the first attempt had just been answered."""
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        if not self.take_back():
            raise asyncio.CancelledError

    async def result(self) -> Won | None:
        """Wait for the backup, and return its answer; None if it failed."""
        second = self.second
        if second is None:
            return None
        await asyncio.wait([second])
        self.second = None
        return second.result()


class Backups:
    """Checks requests under way, and makes the backups that they need.

    Args:
        context: what all calls share.
        connections: the pooled connections.
        probe: starts the probes that are due.
    """

    def __init__(self, context: CallContext, connections: Connections, probe: Callable[[], None]) -> None:
        self._context = context
        self._connections = connections
        self._probe = probe
        # In the order of check_at.
        self._exchanges: dict[Exchange, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.lateness = Lateness(context.clock)
        """Whether this process is late while requests are under way."""

    def add(self, exchange: "Exchange", started: float) -> None:
        """Check *exchange*, whose attempt began at *started*, from now on; :meth:`discard` must follow."""
        exchange.check_at = started + STALL_SECONDS
        self._exchanges[exchange] = None
        if self._timer is None:
            self._look_later()

    def discard(self, exchange: "Exchange") -> None:
        """Stop checking *exchange*, and give its backup up."""
        self._exchanges.pop(exchange, None)
        if (backup := exchange.backup) is not None and backup.second is not None:
            backup.second.add_done_callback(self._drop)
            backup.second.cancel()

    def check(self, name: str) -> None:
        """Make backups for the requests that wait for the instance with this record, if it is avoided."""
        for exchange in [*self._exchanges]:
            if exchange.attempt is not None and exchange.attempt.instance.name == name:
                self._check(exchange)

    def close(self) -> None:
        """Stop the timer; requests under way end with their sessions."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        self.lateness.expect(_INTERVAL)
        self._timer = asyncio.get_running_loop().call_later(_INTERVAL, self._look)

    def _look(self) -> None:
        self._timer = None
        self.lateness.met()
        now = self._context.clock()
        for exchange in [*self._exchanges]:
            if exchange.check_at > now:
                break
            # Each entry is checked once a second.
            del self._exchanges[exchange]
            exchange.check_at = now + STALL_SECONDS
            self._exchanges[exchange] = None
            self._check(exchange)
        if self._context.balancer.due:
            self._probe()
        if self._exchanges:
            self._look_later()

    def hedge(self, exchange: "Exchange") -> None:
        """Make a backup when the attempt under way takes longer than usual."""
        attempt = exchange.attempt
        if attempt is not None and (after := exchange.call.hedge_after(attempt)) is not None:
            self._hedge_after(exchange, after)

    def _hedge_after(self, exchange: "Exchange", after: float) -> None:
        exchange.hedging = asyncio.get_running_loop().call_later(after, self._hedge, exchange, after)

    def _hedge(self, exchange: "Exchange", after: float) -> None:
        attempt, task = exchange.attempt, exchange.task
        if task is None or attempt is None or exchange.backup is not None:
            return
        if not _can_be_sent_beside(exchange.request):
            return
        if not self._start(exchange, task, exchange.call.hedge(attempt)):
            # Too many requests are hedged at the moment. Those still under way later need it most.
            self._hedge_after(exchange, 2.0 * after)

    def _check(self, exchange: "Exchange") -> None:
        attempt, task = exchange.attempt, exchange.task
        if attempt is None or task is None or attempt.outcome is not None:
            return
        if not self._context.balancer.check_stalled(attempt.pick) or exchange.backup is not None:
            return
        if task in self._connections.connecting:
            # A task that is being cancelled for another reason is left alone.
            if not task.cancelling() and exchange.call.has_elsewhere(attempt):
                exchange.backup = Backup(task)
                exchange.backup.interrupt()
        elif _can_be_sent_beside(exchange.request):
            self._start(exchange, task, exchange.call.back_up(attempt))

    def _start(self, exchange: "Exchange", task: "asyncio.Task[Any]", second: Attempt | None) -> bool:
        """Make the attempt *second* in a task; return False if it is None."""
        if second is None:
            return False
        backup = exchange.backup = Backup(task)
        sending = self._send(exchange, backup, second)
        backup.second = asyncio.get_running_loop().create_task(sending, name="peerage: backup")
        return True

    async def _send(self, exchange: "Exchange", backup: Backup, attempt: Attempt) -> Won | None:
        """Make the backup, and return its answer; None if it failed."""
        request = copy.copy(exchange.request)
        request.headers = CIMultiDict(exchange.request.headers)
        # The timer of the caller's total limit keeps a stack of tasks, on which this task has no place. The
        # limit ends the first attempt, and thereby this one.
        request._timer = TimerNoop()  # noqa: SLF001 - there is no public way
        kept = exchange.prepare(attempt, request)
        try:
            response = await exchange.send(request)
        except BaseException as error:
            self._connections.end(kept)
            if not isinstance(error, Exception):
                raise
            exchange.call.done(attempt, outcome_of(error), refused=is_refusal(error))
            return None
        failures = exchange.call.options.failures
        outcome = outcome_of_answer(response.status, response.headers, request.headers, failures)
        if outcome is not Outcome.ANSWERED:
            self._connections.end(kept)
            exchange.call.done(attempt, outcome, retry_after=retry_after(response.headers))
            response.close()
            return None
        if exchange.attempt is not None and exchange.attempt.outcome is None:
            backup.interrupt()
        return attempt, kept, response

    def _drop(self, second: "asyncio.Task[Won | None]") -> None:
        """Close the answer of a backup that came too late."""
        if not second.cancelled() and (won := second.result()) is not None:
            _, kept, response = won
            response.close()
            self._connections.end(kept)


def _can_be_sent_beside(request: aiohttp.ClientRequest) -> bool:
    """Tell whether another request with the same body can be sent while *request* is under way."""
    body = request.body
    if not body:
        return True
    # The task that sends the body. It isn't documented. Without it no request with a body gets a backup.
    writing = getattr(request, "_writer", body)
    return isinstance(body, aiohttp.BytesPayload) and writing is None
