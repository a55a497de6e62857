"""One call: carries out what its :class:`~peerage.calling.Call` decides."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import hdrs
from multidict import istr
from yarl import URL

from peerage.balancing import Outcome, reported_load
from peerage.balancing.outcome import ANSWERED
from peerage.calling import (
    Attempt,
    Call,
    CallContext,
    Ending,
    GiveUp,
    Lookups,
    Pause,
    Relieve,
    TlsProbe,
    WaitForInstance,
)
from peerage.calling.answers import outcome_of_answer, reported_requests, retry_after
from peerage.calling.deadline import TIMEOUT_MS, write_timeout
from peerage.calling.misdirected import DIALLED
from peerage.calling.retried import RETRY
from peerage.client.arrivals import Arrivals
from peerage.client.backups import Backup, Backups, Won
from peerage.client.connections import Connections, Kept, call_at_end
from peerage.client.errors import MisdirectedError, unreachable
from peerage.client.lookup import HostLookup
from peerage.client.outcomes import is_connecting, is_refusal, outcome_of, outcome_of_body, problem_of
from peerage.client.prober import Prober
from peerage.client.tlsprobe import speaks_tls
from peerage.errors import DeadlineExceededError, NotDiscoveredError

if TYPE_CHECKING:
    from peerage.telemetry import CallTelemetry, Telemetry

log = logging.getLogger("peerage.client")

# An istr is case-folded once, and not for each request.
_DIALLED: Final = istr(DIALLED)
_RETRY: Final = istr(RETRY)
_TIMEOUT_MS: Final = istr(TIMEOUT_MS)

#: The server_hostname of requests without TLS. It keeps connections to instances apart in aiohttp's pool.
_POOL: Final = "instance.asab"

#: If a caller gives up after so many seconds, and the connection isn't made by then, the instance counts as
#: unreachable. The time limit of a whole request is often shorter than that of a connection, and cancels it.
_CONNECT_SECONDS: Final = 0.5

_TOO_SLOW: Final = "no connection was made in time"


@dataclass(slots=True, frozen=True)
class Resources:
    """What all calls of a client use."""

    context: CallContext
    lookup: HostLookup
    connections: Connections
    prober: Prober
    backups: Backups
    arrivals: Arrivals
    reads_load: bool
    """Whether instances are chosen by the load that they report."""
    as_of: Callable[[], str]
    """Returns a sentence on how old what is known is, if it isn't certain."""
    telemetry: "Telemetry | None" = None
    """What attempts are reported to."""

    def start_due(self) -> None:
        """Begin the look-ups and probes that are due, in the background."""
        self.lookup.start(self.context.addresses.take_due())
        self.prober.start()


class Exchange:
    """Sends the request of one call, to several instances if necessary."""

    __slots__ = (
        "_answer",
        "_authorization",
        "_error",
        "_hostname",
        "_resources",
        "_url",
        "attempt",
        "backup",
        "call",
        "check_at",
        "hedging",
        "request",
        "send",
        "task",
    )

    def __init__(
        self,
        resources: Resources,
        call: Call,
        request: aiohttp.ClientRequest,
        handler: aiohttp.ClientHandlerType,
    ) -> None:
        self._resources = resources
        self.call = call
        self.request = request
        self.attempt: Attempt | None = None
        """The attempt under way, without its backup."""
        self.backup: Backup | None = None
        """The backup of the attempt, if it has one."""
        self.task: asyncio.Task[Any] | None = None
        """The task that makes the attempts; None before the first, and after the last."""
        self.hedging: asyncio.TimerHandle | None = None
        """Begins a backup when the attempt takes longer than usual."""
        self.check_at = 0.0
        """When to check whether the instance has stalled, in seconds of the client's clock."""
        self._url = url = request.url
        self._hostname = request.server_hostname
        # It may be removed for one instance and sent to the next.
        self._authorization = request.headers.get(hdrs.AUTHORIZATION)
        self.send = handler
        """Sends the request, prepared for an attempt."""
        if resources.telemetry is not None:
            shown = str(url.with_user(None))
            telemetry = resources.telemetry.call(request.method, shown, url.host or "", url.port)
            self.send = partial(_send_reported, handler, telemetry)
        self._error: BaseException | None = None
        # The last answer, if it is a failure: the caller gets it unless there is another attempt.
        self._answer: aiohttp.ClientResponse | None = None

    async def run(self) -> aiohttp.ClientResponse:
        """Carry out the steps of the call; see :class:`BalancingMiddleware` for what it raises."""
        try:
            while True:
                step = self.call.next()
                if isinstance(step, Attempt):
                    kept = self._begin(step)
                    try:
                        response = await self.send(self.request)
                        if self.backup is not None and self.backup.has_interrupted:
                            await self.backup.ignore_interruption()
                    except BaseException as error:  # noqa: BLE001 - the call decides what it means
                        if (won := await self._lost(step, kept, error)) is None:
                            continue
                        step, kept, response = won
                    finally:
                        if self.hedging is not None:
                            self.hedging.cancel()
                    outcome = outcome_of_answer(
                        response.status, response.headers, self.request.headers, self.call.options.failures
                    )
                    if outcome is ANSWERED:
                        self._answered(step, kept, response)
                        return response
                    await self._declined(step, kept, response, outcome)
                elif isinstance(step, GiveUp):
                    return self._give_up(step)
                else:
                    await self._wait(step)
        finally:
            self.close()

    def close(self) -> None:
        """End the attempts under way, and restore the request."""
        self.call.close()
        if self.task is not None:
            self._resources.backups.discard(self)
            # This lives as long as the response, which is the task's result and must be collected if it is
            # dropped unread.
            self.task = self.backup = None
        if self._answer is not None:
            self._answer.close()
        request = self.request
        # A middleware of the program may send the request again, which is then another call.
        request.url = self._url
        request.server_hostname = self._hostname
        request.headers.pop(_DIALLED, None)
        request.headers.pop(_RETRY, None)
        if self.call.deadline is not None:
            request.headers.pop(_TIMEOUT_MS, None)

    def prepare(self, attempt: Attempt, request: aiohttp.ClientRequest) -> Kept:
        """Direct *request*, the original or a copy, to the address of *attempt*."""
        call, url, resources = self.call, self._url, self._resources
        instance = attempt.pick.instance
        kept = resources.connections.begin(instance.name, (attempt.ip, attempt.endpoint.port))
        kept.others, kept.doubt = attempt.others, resources.connections.doubt_about(instance)
        if self._authorization is not None:
            request.headers[hdrs.AUTHORIZATION] = self._authorization
        request.headers[_DIALLED] = kept.dialled
        request.url = URL.build(
            scheme=url.scheme,
            authority=kept.authority,
            path=url.raw_path,
            query_string=url.raw_query_string,
            encoded=True,
        )
        if self._hostname is None:
            request.server_hostname = url.raw_host if call.secure else _POOL
        if request.proxy is not None:
            # It comes from the environment (trust_env), and no proxy knows names in .asab.
            request.update_proxy(None, None, None)
        if attempt.is_retry or call.nested:
            request.headers[_RETRY] = "1"
        if call.deadline is not None:
            left = call.deadline.left(resources.context.clock())
            request.headers[_TIMEOUT_MS] = write_timeout(left)
        if self.attempt is not None and (notes := call.notes):
            log.debug("%s of %s failed at %s: %s", request.method, url.raw_host, *notes[-1])
            # The failed attempt ended any wait for "100 Continue", so prepare another one.
            request.update_expect_continue()
        if resources.context.addresses.due or resources.context.balancer.due:
            resources.start_due()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s of %s goes to %s", request.method, url.raw_host, kept.dialled)
        return kept

    # Steps

    def _begin(self, attempt: Attempt) -> Kept:
        """Prepare for *attempt*, which is sent next and may get a backup."""
        if self._answer is not None:
            self._answer.release()
            self._answer = None
        kept = self.prepare(attempt, self.request)
        self.attempt = attempt
        if self.task is None:
            self.task = asyncio.current_task()
            if self.call.options.detect_stalled:
                self._resources.backups.add(self, attempt.started)
        if self.call.options.hedge and self.call.service.size > 1:
            self._resources.backups.hedge(self)
        return kept

    async def _lost(self, attempt: Attempt, kept: Kept, error: BaseException) -> Won | None:
        """Record that *attempt* ended with *error*; return its backup if that was answered."""
        self._resources.connections.end(kept)
        await self._failed(attempt, error)
        # At the end of the caller's time limit, for example, the second one isn't waited for.
        if self.backup is None or attempt.outcome is Outcome.NOT_RETRYABLE:
            return None
        return await self.backup.result()

    def _answered(self, attempt: Attempt, kept: Kept, response: aiohttp.ClientResponse) -> None:
        """Record that *attempt* was answered by *response*, which the caller gets."""
        self.call.done(attempt, ANSWERED)
        reads_load = self._resources.reads_load or self.call.options.score is reported_load
        if reads_load and (load := reported_requests(response.headers)) is not None:
            attempt.pick.reported(load, self._resources.context.clock())
        call_at_end(response, partial(self._end, attempt, kept, response))

    async def _declined(
        self, attempt: Attempt, kept: Kept, response: aiohttp.ClientResponse, outcome: Outcome
    ) -> None:
        """Record that *attempt* was answered by *response*, which says that it failed."""
        call_at_end(response, partial(self._resources.connections.end, kept))
        if outcome is Outcome.MISDIRECTED:
            # Closing the response also stops the sending of the body.
            response.close()
            await self._failed(attempt, MisdirectedError(response))
            return
        self._answer, body = response, self.request.body
        self.call.done(
            attempt,
            outcome,
            f"status {response.status}",
            # Unless the body is in memory, it may still be in the process of being sent.
            replayable=not isinstance(body, aiohttp.Payload) or isinstance(body, aiohttp.BytesPayload),
            retry_after=retry_after(response.headers),
        )

    def _end(self, attempt: Attempt, kept: Kept, response: aiohttp.ClientResponse) -> None:
        self._resources.connections.end(kept)
        self.call.over(attempt, outcome_of_body(response))

    async def _failed(self, attempt: Attempt, error: BaseException) -> None:
        """Record that *attempt* ended with *error*; raise it if the caller gave up."""
        call, outcome, backup = self.call, outcome_of(error), self.backup
        if isinstance(error, TimeoutError | asyncio.CancelledError):
            attempt.pick.excused = self._resources.backups.lateness.excuses(attempt.started)
        if outcome is Outcome.CANCELLED:
            if backup is None or not backup.has_interrupted or not backup.take_back():
                late = self._resources.context.clock() - attempt.started >= _CONNECT_SECONDS
                if late and is_connecting(error):
                    call.done(attempt, Outcome.CONNECT_FAILED, _TOO_SLOW)
                raise error
            if backup.second is not None:
                call.done(attempt, outcome, "the backup was answered first")
                return
            # Nothing was sent. The attempt at the next instance may get a backup.
            self.backup, outcome, error = (
                None,
                Outcome.CONNECT_FAILED,
                aiohttp.ConnectionTimeoutError(_TOO_SLOW),
            )
        self._error, consumed = error, await self._is_body_consumed()
        refused = is_refusal(error)
        call.done(attempt, outcome, problem_of(error), refused=refused, replayable=not consumed)
        if outcome is Outcome.TIMED_OUT and not isinstance(error, aiohttp.ClientError):
            # No time is left for another attempt.
            raise error
        self._resources.start_due()

    async def _is_body_consumed(self) -> bool:
        """Wait until the body is no longer being sent, and tell whether it can't be sent again."""
        body = self.request.body
        if not isinstance(body, aiohttp.Payload):
            return False
        # A file is rewound once its cancelled writer has ended. Errors of the writer don't matter: the
        # attempt has reported what failed.
        with suppress(aiohttp.ClientError, OSError):
            await self.request.close()
        return body.consumed

    async def _wait(self, step: Lookups | Pause | Relieve | TlsProbe | WaitForInstance) -> None:
        """Carry out *step*, which comes between two attempts."""
        if isinstance(step, Lookups):
            await self._resources.lookup.wait(step)
        elif isinstance(step, Relieve):
            self._resources.connections.close_idle()
            # Their descriptors are freed in the next iteration of the event loop.
            await asyncio.sleep(0)
        elif isinstance(step, WaitForInstance):
            # Those that accept no connection are probed meanwhile.
            self._resources.start_due()
            await self._resources.arrivals.wait(step)
        elif isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            step.speaks_tls = await speaks_tls(step.attempt.ip, step.attempt.port)

    def _give_up(self, end: GiveUp) -> aiohttp.ClientResponse:
        """Return the last answer, or raise the error with which the call ends."""
        error, answer = self._error, self._answer
        message = f"{end.message} {self._resources.as_of()}".rstrip()
        log.debug("%s", message)
        if end.ending is Ending.AS_IT_IS:
            if answer is not None:
                self._answer = None
                return answer
            if error is not None:
                error.add_note(message)
                raise error
        if end.ending is Ending.NOT_DISCOVERED:
            raise NotDiscoveredError(message) from error
        if end.ending is Ending.TOO_LATE:
            raise DeadlineExceededError(message) from error
        raise unreachable(message, self.request.connection_key, error) from error


async def _send_reported(
    handler: aiohttp.ClientHandlerType, telemetry: "CallTelemetry", request: aiohttp.ClientRequest
) -> aiohttp.ClientResponse:
    """Send *request*, prepared for an attempt, and report it."""
    reported = telemetry.attempt(request.url.host or "", request.url.port or 0, request.headers)
    try:
        response = await handler(request)
    except BaseException as error:
        reported.failed(error)
        raise
    reported.answered(response.status)
    return response
