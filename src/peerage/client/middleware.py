"""The innermost middleware of a session: each request to a ``.asab`` host goes to one live instance.

The seam in aiohttp is ``request.url``, documented as the URL the connection is made to: it gets the address
of the instance, while Host header, cookies, redirects and ``response.url`` follow the URL the caller gave. So
connections are pooled per instance, and each request is balanced even over one session.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import aiohttp
from yarl import URL

from peerage.balancing import Balancer
from peerage.calling.misdirected import is_marked
from peerage.client.attempts import IDEMPOTENT, Failure, classify, ends_unreachable, may_repeat
from peerage.client.errors import MisdirectedError
from peerage.client.hosts import Hosts, for_instance
from peerage.client.outstanding import call_at_end
from peerage.client.recent import Recent
from peerage.client.route import Route, Router
from peerage.records.names import is_logical, parse_host

__all__ = ["BalancingMiddleware"]

_IDEMPOTENCY_KEY: Final = "Idempotency-Key"


class BalancingMiddleware:
    """An aiohttp client middleware; leaves alone what isn't ``.asab``.

    Args:
        router: decides where a request goes.
        balancer: counts the requests under way.
        is_ready: whether the directory has its first snapshot.
        ready: waits for it.
        refused: takes the nodes that let nobody connect, or have somebody else's port.
        hosts: looks hosts up, and takes those that have no address.
    """

    def __init__(
        self,
        router: Router,
        balancer: Balancer,
        *,
        is_ready: Callable[[], bool],
        ready: Callable[[], Awaitable[object]],
        refused: Recent,
        hosts: Hosts,
    ) -> None:
        self._router = router
        self._balancer = balancer
        self._is_ready = is_ready
        self._ready = ready
        self._refused = refused
        self._hosts = hosts

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send *request* to an instance, and to others as long as that is safe and the first ones fail.

        Raises:
            NotDiscoveredError: nobody callable is known by that name.
            NotReadyError: no snapshot of the registry arrived in time.
            UnreachableError: they are known, and none could be reached.
            aiohttp.ClientError: as without us, where no other instance could be asked.
        """
        url = request.url
        host = url.host
        if host is None or not is_logical(host):
            # Set if it comes out of the body or a trace of a request to an instance.
            for_instance.set(False)
            return await handler(request)
        key, value = parse_host(host)
        if not self._is_ready():
            await self._ready()
        if request.proxy is not None:
            # Found in the environment (trust_env); no proxy knows our names.
            request.update_proxy(None, None, None)
        route = Route(key, value, url.scheme)
        if not self._router.advance(route) and not await self._outwait(route):
            raise self._router.explain_nowhere(route)
        server_hostname = request.server_hostname
        if route.secure and server_hostname is None:
            request.server_hostname = url.raw_host
        for_instance.set(True)
        try:
            return await self._send(request, handler, route)
        finally:
            # Not reset(token): a coroutine that is never finished is closed in some other context.
            for_instance.set(False)
            # A middleware of the user's may send it again: to be balanced anew, it must be the logical one.
            request.url = url
            request.server_hostname = server_hostname

    async def _send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, route: Route
    ) -> aiohttp.ClientResponse:
        url = request.url
        balancer = self._balancer
        while True:
            request.url = URL.build(
                scheme=route.scheme,
                authority=route.place.authority or "",
                path=url.raw_path,
                query_string=url.raw_query_string,
                encoded=True,
            )
            instance = route.instance
            balancer.started(instance)
            try:
                response = await handler(request)
            except BaseException as error:  # noqa: BLE001 - the count must come down, however it ended
                balancer.finished(instance)
                await self._go_on(request, route, error)
            else:
                if not is_marked(response.status, response.headers):
                    call_at_end(response, partial(balancer.finished, instance))
                    return response
                balancer.finished(instance)
                # This cancels the writing of the body, too.
                response.close()
                await self._go_on(request, route, MisdirectedError(response))

    async def _go_on(self, request: aiohttp.ClientRequest, route: Route, error: BaseException) -> None:
        """Lead *route* to the next place after *error*, or raise what the caller is to get."""
        failure = classify(error)
        if failure is Failure.FINAL:
            raise error
        self._learn(route, failure, error)
        idempotent = request.method in IDEMPOTENT or _IDEMPOTENCY_KEY in request.headers
        body_consumed = await _is_body_consumed(request)
        if may_repeat(
            failure, idempotent=idempotent, body_consumed=body_consumed, replays=route.replays
        ) and (self._advance(route, failure) or await self._outwait(route)):
            # The failed attempt has cancelled the wait for "100 Continue", if there is one: wait anew.
            request.update_expect_continue()
            return
        if ends_unreachable(failure, method=request.method, replays=route.replays):
            raise self._router.explain_failure(route, timed_out=isinstance(error, TimeoutError)) from error
        raise error

    def _learn(self, route: Route, failure: Failure, error: BaseException) -> None:
        route.note(str(error) or type(error).__name__)
        if failure is Failure.UNRESOLVED:
            self._hosts.failed(route.place.wire)
            route.note_unresolved()
            return
        route.reached = True
        if failure is not Failure.MISDIRECTED:
            # Otherwise the name may have led to the wrong host.
            route.skip_stand_ins()
        if failure in (Failure.UNSENT, Failure.MISDIRECTED):
            self._refused.add(route.instance.name)

    def _advance(self, route: Route, failure: Failure) -> bool:
        if failure in (Failure.LOST, Failure.SILENT):
            route.replays += 1
            route.upcoming = ()
        if self._router.advance(route):
            return True
        return failure is Failure.LOST and route.may_return() and self._router.advance(route)

    async def _outwait(self, route: Route) -> bool:
        """Lead *route*, which has nowhere else to go, to a host whose look-up takes its time."""
        if route.replays or route.outwaited or not route.unresolved:
            return False
        route.outwaited = True
        if not await self._hosts.outwait({host for host, _ in route.unresolved}):
            return False
        route.retry_unresolved()
        return self._router.advance(route)


async def _is_body_consumed(request: aiohttp.ClientRequest) -> bool:
    """Tell whether the body can't be sent again, once nobody is writing it any more."""
    body = request.body
    if not isinstance(body, aiohttp.Payload):
        return False
    # A file rewinds when its cancelled writer has settled. What became of that write, the attempt itself has
    # said.
    with suppress(aiohttp.ClientError, OSError):
        await request.close()
    return body.consumed
