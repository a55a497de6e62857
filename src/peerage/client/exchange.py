"""One request: carries out what its :class:`~peerage.calling.Call` decides."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import aiohttp
from aiohttp import hdrs
from multidict import istr
from yarl import URL

from peerage.balancing import Outcome
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
)
from peerage.calling.answers import outcome_of_answer, retry_after
from peerage.calling.misdirected import DIALLED
from peerage.calling.repetition import REPEATED
from peerage.client.backups import Backup, Backups
from peerage.client.connections import Connections, Kept, call_at_end
from peerage.client.errors import MisdirectedError, unreachable
from peerage.client.lookup import HostLookup
from peerage.client.outcomes import is_connecting, outcome_of
from peerage.client.prober import Prober
from peerage.client.tlsprobe import speaks_tls
from peerage.errors import NotDiscoveredError

log = logging.getLogger("peerage.client")

# An istr is folded once, not at each request.
_DIALLED: Final = istr(DIALLED)
_REPEATED: Final = istr(REPEATED)

#: Keeps connections to instances apart in aiohttp's pool where TLS doesn't need a name.
_POOL: Final = "instance.asab"

#: Seconds after which an instance counts as unreachable if a caller gives up while connecting to it. The time
#: limit of a whole request is often shorter than that of a connection, and ends as a cancellation.
_CONNECT_SECONDS: Final = 0.5


@dataclass(slots=True, frozen=True)
class Resources:
    """What all requests of a client use."""

    context: CallContext
    lookup: HostLookup
    connections: Connections
    prober: Prober
    backups: Backups

    def start_due(self) -> None:
        """Begin to look up and to probe in the background what is due."""
        self.lookup.start(self.context.addresses.take_due())
        self.prober.start()


class Exchange:
    """Sends one request, to several instances if necessary."""

    __slots__ = (
        "_answer",
        "_authorization",
        "_backup",
        "_call",
        "_error",
        "_handler",
        "_hostname",
        "_request",
        "_resources",
        "_url",
    )

    def __init__(
        self,
        resources: Resources,
        call: Call,
        request: aiohttp.ClientRequest,
        handler: aiohttp.ClientHandlerType,
    ) -> None:
        self._resources = resources
        self._call = call
        self._request = request
        self._handler = handler
        self._url = request.url
        self._hostname = request.server_hostname
        # It may be taken out for one instance and sent to the next.
        self._authorization = request.headers.get(hdrs.AUTHORIZATION)
        self._error: BaseException | None = None
        # The last answer, if it is a failure, as long as it isn't certain that there will be another one.
        self._answer: aiohttp.ClientResponse | None = None
        self._backup: Backup | None = None

    async def run(self) -> aiohttp.ClientResponse:
        """Carry out the steps of the call; see :class:`BalancingMiddleware` for what it raises."""
        while True:
            step = self._call.next()
            if isinstance(step, Attempt):
                response = await self._attempt(step)
                if response is not None:
                    return response
            elif isinstance(step, GiveUp):
                return self._give_up(step)
            else:
                await self._wait(step)

    def close(self) -> None:
        """End what is under way, and leave the request as it was."""
        self._call.close()
        if self._backup is not None:
            self._resources.backups.discard(self._backup)
        if self._answer is not None:
            self._answer.close()
        request = self._request
        # A middleware of the user's may send it again: to be balanced anew, it must be as it was.
        request.url = self._url
        request.server_hostname = self._hostname
        request.headers.pop(_DIALLED, None)
        request.headers.pop(_REPEATED, None)

    def prepare(self, attempt: Attempt, request: aiohttp.ClientRequest) -> Kept:
        """Have *request*, or a copy of it, sent to the address of *attempt*."""
        call, url, resources = self._call, self._url, self._resources
        kept = resources.connections.begin(attempt.pick.instance.name, (attempt.ip, attempt.endpoint.port))
        kept.others = attempt.others
        kept.suspect = attempt.instance.suspect
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
            # Found in the environment (trust_env); no proxy knows our names.
            request.update_proxy(None, None, None)
        if attempt.repeated or call.nested:
            request.headers[_REPEATED] = "1"
        if notes := call.notes:
            log.debug("%s of %s failed at %s: %s", request.method, url.raw_host, *notes[-1])
            # The failed attempt has cancelled the wait for "100 Continue", if there is one: wait anew.
            request.update_expect_continue()
        if resources.context.addresses.due or resources.context.balancer.due:
            resources.start_due()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s of %s goes to %s", request.method, url.raw_host, kept.dialled)
        return kept

    # Steps

    async def _attempt(self, attempt: Attempt) -> aiohttp.ClientResponse | None:
        """Make *attempt*; return the answer, or None if the call has to decide what is next."""
        if self._answer is not None:
            self._answer.release()
            self._answer = None
        kept = self.prepare(attempt, self._request)
        backup = self._backup = self._make_backup(attempt)
        try:
            response = await self._handler(self._request)
            if backup is not None and backup.has_interrupted:
                await backup.ignore_interruption()
        except BaseException as error:  # noqa: BLE001 - the call decides what it means
            self._resources.connections.end(kept)
            await self._failed(attempt, error)
            if backup is None or attempt.outcome is Outcome.NOT_RETRYABLE:
                # The caller's time limit is over, for example.
                return None
            if (won := await backup.result()) is None:
                return None
            attempt, kept, response = won
        return await self._answered(attempt, kept, response)

    def _make_backup(self, attempt: Attempt) -> Backup | None:
        """Have *attempt* backed up by another one if its instance turns out not to answer."""
        call, backup = self._call, self._backup
        if backup is not None:
            backup.attempt = attempt
        elif call.service.size > 1:
            backup = Backup(call, attempt, self._request, self._handler, self.prepare)
            self._resources.backups.add(backup)
        return backup

    async def _answered(
        self, attempt: Attempt, kept: Kept, response: aiohttp.ClientResponse
    ) -> aiohttp.ClientResponse | None:
        outcome = outcome_of_answer(response.status, response.headers)
        if outcome is Outcome.ANSWERED:
            self._call.done(attempt, outcome)
            call_at_end(response, partial(self._end, attempt, kept))
            return response
        call_at_end(response, partial(self._resources.connections.end, kept))
        if outcome is Outcome.MISDIRECTED:
            # Closing cancels the writing of the body as well.
            response.close()
            await self._failed(attempt, MisdirectedError(response))
            return None
        self._answer, body = response, self._request.body
        self._call.done(
            attempt,
            outcome,
            f"status {response.status}",
            # The body may be being written still, if it isn't in memory.
            replayable=not isinstance(body, aiohttp.Payload) or isinstance(body, aiohttp.BytesPayload),
            retry_after=retry_after(response.headers),
        )
        return None

    def _end(self, attempt: Attempt, kept: Kept) -> None:
        self._resources.connections.end(kept)
        attempt.pick.done(Outcome.ANSWERED, self._resources.context.clock())

    async def _failed(self, attempt: Attempt, error: BaseException) -> None:
        """Record that *attempt* ended with *error*; raise it if the caller gave the request up."""
        call, outcome, backup = self._call, outcome_of(error), self._backup
        if outcome is Outcome.CANCELLED:
            if backup is not None and backup.has_interrupted and backup.take_back():
                call.done(attempt, outcome)
                return
            late = self._resources.context.clock() - attempt.started >= _CONNECT_SECONDS
            if late and is_connecting(error):
                call.done(attempt, Outcome.CONNECT_FAILED, "no connection was made in time")
            raise error
        self._error, consumed = error, await self._is_body_consumed()
        call.done(attempt, outcome, str(error) or type(error).__name__, replayable=not consumed)
        self._resources.start_due()

    async def _is_body_consumed(self) -> bool:
        """Tell whether the body can't be sent again, once it is no longer being written."""
        body = self._request.body
        if not isinstance(body, aiohttp.Payload):
            return False
        # A file rewinds when its cancelled writer has settled. What became of that write, the attempt itself
        # has said.
        with suppress(aiohttp.ClientError, OSError):
            await self._request.close()
        return body.consumed

    async def _wait(self, step: Lookups | Pause | Relieve | TlsProbe) -> None:
        """Do what *step* says, before the next attempt."""
        if isinstance(step, Lookups):
            await self._resources.lookup.wait(step)
        elif isinstance(step, Relieve):
            self._resources.connections.close_idle()
            # Their descriptors are free in the next turn of the loop.
            await asyncio.sleep(0)
        elif isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            step.speaks_tls = await speaks_tls(step.attempt.ip, step.attempt.port)

    def _give_up(self, end: GiveUp) -> aiohttp.ClientResponse:
        """Return the last answer, or raise what the call ends with."""
        error, answer = self._error, self._answer
        if end.ending is Ending.AS_IT_IS:
            if answer is not None:
                self._answer = None
                return answer
            if error is not None:
                raise error
        if end.ending is Ending.NOT_DISCOVERED:
            raise NotDiscoveredError(end.message) from error
        raise unreachable(end.message, self._request.connection_key, error) from error
