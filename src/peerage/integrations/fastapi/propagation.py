"""A dependency: the deadline and the retry mark of a request apply to the calls of its operation."""

from collections.abc import AsyncIterator, Callable

from fastapi import BackgroundTasks
from fastapi.requests import HTTPConnection

from peerage.calling.deadline import TIMEOUT_MS
from peerage.calling.retried import RETRY
from peerage.calling.retry import SAFE
from peerage.integrations.asgi.messages import first, values
from peerage.integrations.fastapi.refusing import refused
from peerage.serving.propagation import TOO_LATE, GivenUpError, in_time, read_inherited, unless_late


def propagate(*, only_safe: bool = False) -> Callable[..., AsyncIterator[None]]:
    """Return a dependency that applies the deadline and the retry mark of a request to its operation.

    They mean what :func:`peerage.web.propagate` says. When the deadline passes, the operation is cancelled
    and the answer is 504; if a response has begun, it is broken off, and the server logs it as an error. A
    function that FastAPI runs in a thread can't be cancelled: its result is dropped, and its calls fail.

    The deadline doesn't limit how long the body of the request arrives, because FastAPI reads it before the
    dependencies. It holds until the response is complete: background tasks aren't affected, except those of a
    Response object that the operation makes itself.

    Args:
        only_safe: cancel only GET, HEAD, OPTIONS and TRACE, for programs that weren't written with
            cancellation in mind. The calls of other operations still fail once the deadline has passed, and
            then the answer is 504 if the operation raises DeadlineExceededError.
    """

    async def take_over(connection: HTTPConnection, background: BackgroundTasks) -> AsyncIterator[None]:
        scope = connection.scope
        inherited = None
        if scope["type"] == "http":
            inherited = read_inherited(values(scope, TIMEOUT_MS), first(scope, RETRY))
        if inherited is None:
            yield
            return
        with inherited:
            # The first background task: they run when the response is complete.
            limit = inherited.deadline
            try:
                if limit is None:
                    background.add_task(_run, inherited.release)
                    yield
                elif only_safe and scope["method"] not in SAFE:
                    background.add_task(_run, inherited.release)
                    with unless_late(limit):
                        yield
                else:
                    async with in_time(limit) as timer:
                        background.add_task(_run, inherited.release, timer)
                        yield
            except GivenUpError as error:
                raise refused(TOO_LATE) from error

    return take_over


async def _run(function: Callable[..., object], *args: object) -> None:
    """Call *function* here: FastAPI calls a background task in a thread unless it is asynchronous."""
    function(*args)
