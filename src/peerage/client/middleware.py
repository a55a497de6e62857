"""The innermost middleware of a session: carries out what a :class:`~peerage.calling.Call` decides.

The seam in aiohttp is ``request.url``, documented as the URL the connection is made to: it gets the literal
address of the instance, while Host header, cookies, redirects and ``response.url`` follow the URL that the
caller gave. So connections are pooled per instance, and each request is balanced even over one session.

Connections to instances are pooled apart from those that the program makes itself to the same address
(``server_hostname`` is part of the pool's key): a connection that the rules for records forbid isn't reused.
"""

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import Final

import aiohttp
from multidict import istr
from yarl import URL

from peerage.balancing import Outcome
from peerage.calling import Attempt, Call, CallContext, Ending, GiveUp, Lookups, TlsProbe
from peerage.calling.misdirected import DIALLED, is_marked
from peerage.calling.retry import IDEMPOTENCY_KEY, IDEMPOTENT
from peerage.client.connections import Connections, Kept, call_at_end
from peerage.client.errors import MisdirectedError, unreachable
from peerage.client.lookup import HostLookup
from peerage.client.outcomes import is_connecting, outcome_of
from peerage.client.tlsprobe import speaks_tls
from peerage.errors import NotDiscoveredError
from peerage.membership import Membership
from peerage.records.names import is_logical, parse_host

log = logging.getLogger(__name__)

# An istr is folded once, not at each request.
_DIALLED: Final = istr(DIALLED)

#: Keeps connections to instances apart in aiohttp's pool where TLS doesn't need a name.
_POOL: Final = "instance.asab"

#: Seconds after which an instance counts as unreachable if a caller gives up while connecting to it. The time
#: limit of a whole request is often shorter than that of a connection, and ends as a cancellation.
_CONNECT_SECONDS: Final = 0.5


class BalancingMiddleware:
    """An aiohttp client middleware; leaves alone what isn't ``.asab``.

    Args:
        membership: the instances, and whether they are known.
        context: decides where requests go.
        lookup: looks hosts up.
        connections: the kept connections.
    """

    def __init__(
        self, membership: Membership, context: CallContext, lookup: HostLookup, connections: Connections
    ) -> None:
        self._membership = membership
        self._context = context
        self._lookup = lookup
        self._connections = connections

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send *request* to an instance, and to others as long as that is safe and the first ones fail.

        Raises:
            NotDiscoveredError: no instance can be called by that name.
            NotReadyError: no snapshot of the registry arrived in time.
            UnreachableError: instances are known, and none could be reached.
            aiohttp.ClientError: as without us, where no other instance could be asked.
        """
        url = request.url
        host = url.host
        if host is None or not is_logical(host):
            return await handler(request)
        name = parse_host(host)
        if not self._membership.ready:
            await self._membership.wait_ready()
        method = request.method
        repeatable = method in IDEMPOTENT or IDEMPOTENCY_KEY in request.headers
        call = Call(self._context, name, url.scheme, method, repeatable=repeatable)
        server_hostname = request.server_hostname
        error: BaseException | None = None
        try:
            while True:
                step = call.next()
                if isinstance(step, Lookups):
                    await self._lookup.wait(step)
                    continue
                if isinstance(step, TlsProbe):
                    step.speaks_tls = await speaks_tls(step.attempt.ip, step.attempt.port)
                    continue
                if isinstance(step, GiveUp):
                    raise _error(step, request, error) from error
                if step.relieve:
                    self._connections.close_idle()
                    # Their descriptors are free in the next turn of the loop.
                    await asyncio.sleep(0)
                kept = self._prepare(call, step, request, url, error)
                try:
                    response = await handler(request)
                    if is_marked(response.status, response.headers):
                        # Closing cancels the writing of the body as well.
                        response.close()
                        raise MisdirectedError(response)  # noqa: TRY301 - one way out for all failures
                except BaseException as failure:  # noqa: BLE001 - the call decides what it means
                    self._connections.end(kept)
                    error = await self._record(call, step, request, failure)
                    self._look_up_due()
                    continue
                call.done(step, Outcome.ANSWERED)
                call_at_end(response, partial(self._end, step, kept))
                return response
        finally:
            call.close()
            # A middleware of the user's may send it again: to be balanced anew, it must be as it was.
            request.url = url
            request.server_hostname = server_hostname
            request.headers.pop(_DIALLED, None)

    def _prepare(
        self,
        call: Call,
        attempt: Attempt,
        request: aiohttp.ClientRequest,
        url: URL,
        error: BaseException | None,
    ) -> Kept:
        """Have *request*, to the logical *url*, sent to the address of *attempt*, after *error* if any."""
        kept = self._connections.begin(attempt.pick.instance.name, (attempt.ip, attempt.endpoint.port))
        kept.others = attempt.others
        request.headers[_DIALLED] = kept.dialled
        request.url = URL.build(
            scheme=url.scheme,
            authority=kept.authority,
            path=url.raw_path,
            query_string=url.raw_query_string,
            encoded=True,
        )
        if request.server_hostname is None:
            request.server_hostname = url.raw_host if call.secure else _POOL
        if request.proxy is not None:
            # Found in the environment (trust_env); no proxy knows our names.
            request.update_proxy(None, None, None)
        if error is not None:
            log.debug("%s of %s failed at %s: %s", request.method, url.raw_host, *call.notes[-1])
            # The failed attempt has cancelled the wait for "100 Continue", if there is one: wait anew.
            request.update_expect_continue()
        if self._context.addresses.due:
            self._look_up_due()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s of %s goes to %s", request.method, url.raw_host, kept.dialled)
        return kept

    def _end(self, attempt: Attempt, kept: Kept) -> None:
        self._connections.end(kept)
        attempt.pick.done(Outcome.ANSWERED, self._context.clock() - attempt.started)

    async def _record(
        self, call: Call, attempt: Attempt, request: aiohttp.ClientRequest, error: BaseException
    ) -> BaseException:
        """Tell *call* that *attempt* ended with *error*; raise it if the caller gave the request up."""
        outcome = outcome_of(error)
        if outcome is Outcome.CANCELLED:
            if self._context.clock() - attempt.started >= _CONNECT_SECONDS and is_connecting(error):
                call.done(attempt, Outcome.CONNECT_FAILED, "no connection was made in time")
            raise error
        consumed = await _is_body_consumed(request)
        call.done(attempt, outcome, str(error) or type(error).__name__, replayable=not consumed)
        return error

    def _look_up_due(self) -> None:
        """Look up in the background what is due."""
        self._lookup.start(self._context.addresses.take_due())


def _error(end: GiveUp, request: aiohttp.ClientRequest, error: BaseException | None) -> BaseException:
    if end.ending is Ending.AS_IT_IS and error is not None:
        return error
    if end.ending is Ending.NOT_DISCOVERED:
        return NotDiscoveredError(end.message)
    return unreachable(end.message, request.connection_key, error)


async def _is_body_consumed(request: aiohttp.ClientRequest) -> bool:
    """Tell whether the body can't be sent again, once it is no longer being written."""
    body = request.body
    if not isinstance(body, aiohttp.Payload):
        return False
    # A file rewinds when its cancelled writer has settled. What became of that write, the attempt itself has
    # said.
    with suppress(aiohttp.ClientError, OSError):
        await request.close()
    return body.consumed
