"""The deadline and the retry mark of a request, which apply to the calls of its handler."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Self

from peerage.calling.deadline import TIMEOUT_MS, Deadline, begin, current_deadline, read_timeout
from peerage.calling.retried import RetriedRequest, current_retried
from peerage.deadlines import enforced
from peerage.errors import DeadlineExceededError
from peerage.serving.refusal import Refusal
from peerage.timing import monotonic

#: The answer once the deadline has passed. The header tells the caller that its own deadline has passed,
#: so that it doesn't count this as a failure of the instance.
TOO_LATE: Final = Refusal(
    504, {TIMEOUT_MS: "0"}, "The deadline of the request has passed, so the request was given up.\n"
)


class GivenUpError(Exception):
    """The deadline of the request has passed before the handler was done."""


class Inherited:
    """What the calls of a handler inherit from its request: a context manager around the handler.

    Args:
        seconds: the time that the caller still waits; None if it doesn't say.
        is_retry: whether the request is marked as a retry.
    """

    __slots__ = ("_is_retry", "_outer", "_outer_retried", "_retried", "_seconds", "deadline")

    deadline: Deadline | None
    """The deadline of the request, known inside of the block; None if the request has none."""

    def __init__(self, seconds: float | None, *, is_retry: bool) -> None:
        self._seconds = seconds
        self._is_retry = is_retry

    def __enter__(self) -> Self:
        self._outer, self._outer_retried = current_deadline.get(), current_retried.get()
        limit = begin(self._seconds, monotonic())
        self.deadline = None if limit is self._outer else limit
        self._retried = RetriedRequest() if self._is_retry else None
        current_deadline.set(limit)
        if self._retried is not None:
            current_retried.set(self._retried)
        return self

    def release(self, timer: asyncio.Timeout | None = None) -> None:
        """End the effect on what outlives the answer; may be called twice.

        Args:
            timer: what :func:`in_time` yields, if what comes after the answer runs in its block.
        """
        if timer is not None and not timer.expired():
            timer.reschedule(None)
        limit = self.deadline
        if limit is not None and limit.leaves_time(monotonic()):
            # If it has passed, the request was given up, and tasks that it left behind stay bound.
            limit.release()
        if self._retried is not None:
            self._retried.answered = True

    def __exit__(self, *_error: object) -> None:
        self.release()
        current_deadline.set(self._outer)
        current_retried.set(self._outer_retried)

    def replacement(self, error: BaseException | None) -> Refusal | None:
        """Return the answer in place of one with status 500, None if the handler didn't fail by the deadline.

        Frameworks answer an exception of a handler by themselves, and some of them don't show it: then the
        handler failed by the deadline if one of its calls was given up at it.

        Args:
            error: the exception that is being handled while the answer is sent, if any.
        """
        limit = self.deadline
        if limit is None or limit.leaves_time(monotonic()):
            return None
        return TOO_LATE if limit.smallest.given_up or isinstance(error, DeadlineExceededError) else None


def read_inherited(timeouts: Sequence[str], retry: str | None) -> Inherited | None:
    """Return what a request with these values of ``Peerage-Timeout-Ms`` and ``Peerage-Retry`` passes on.

    It is None if that is nothing.
    """
    seconds = read_timeout(timeouts) if timeouts else None
    is_retry = retry == "1"
    return None if seconds is None and not is_retry else Inherited(seconds, is_retry=is_retry)


@contextmanager
def unless_late(limit: Deadline) -> Iterator[None]:
    """Begin the block only while *limit* leaves time for it, and tell whether it fails by *limit*.

    Raises:
        GivenUpError: *limit* has passed.
        DeadlineExceededError: a deadline that the handler set itself has passed, and wasn't caught.
    """
    if not limit.leaves_time(monotonic()):
        raise GivenUpError
    try:
        yield
    except DeadlineExceededError as error:
        if limit.leaves_time(monotonic()):
            raise
        raise GivenUpError from error


@asynccontextmanager
async def in_time(limit: Deadline) -> AsyncIterator[asyncio.Timeout]:
    """Cancel the block when *limit* passes, beside what :func:`unless_late` does.

    Yields the timer, for adapters that know before the end of the block that the request is answered.

    Raises:
        GivenUpError: *limit* has passed.
        DeadlineExceededError: a deadline that the handler set itself has passed, and wasn't caught.
    """
    with unless_late(limit):
        async with enforced(limit) as timer:
            yield timer
