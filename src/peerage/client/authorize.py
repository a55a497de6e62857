"""The middleware that authorizes the requests of a session to services found by name, and no others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
from aiohttp import hdrs

from peerage.calling.deadline import current_deadline
from peerage.errors import NotDiscoveredError
from peerage.records.names import is_logical, parse_host
from peerage.timing import monotonic

log = logging.getLogger(__name__)

#: Hosts that the log has named, at most: a crawler meets any number.
_LOGGED_HOSTS: Final = 256

_TO_SEND: Final = "If that host is to have one, send it with headers={'Authorization': …}."
_TO_FOLLOW: Final = "If that is meant, call that URL yourself instead of following the redirect."


class InternalToken(str):
    """The value of an ``Authorization`` header that the library added, not the caller."""

    __slots__ = ()


class _Call:
    """One call of a session: the request of the caller, and those to which redirects lead."""

    __slots__ = ("_name", "_outside", "_own_header", "_secure")

    def __init__(self) -> None:
        self._name: tuple[str, str] | str | None = None
        self._outside = False
        self._own_header = False
        self._secure = False

    def why_not(self, host: str, *, secure: bool, own_header: bool, same_name: bool) -> str | None:
        """Note a request to *host*, and return why it must not be authorized; None if it may be.

        Args:
            host: of the request, logical or not.
            secure: whether it is made over https.
            own_header: whether it has an authorization that the caller gave.
            same_name: whether only the name that the caller chose may be authorized.
        """
        name, was_secure = _name_of(host), self._secure
        self._secure = was_secure or secure
        self._own_header = self._own_header or own_header
        if self._name is None:
            self._name = name
        if self._own_header:
            return "the authorization that the caller gave doesn't follow redirects. " + _TO_FOLLOW
        if not is_logical(host):
            self._outside = True
            return "authorization is sent to services found by name (.asab) only. " + _TO_SEND
        if self._outside:
            return "a host outside of .asab has redirected the request there. " + _TO_FOLLOW
        if was_secure and not secure:
            return "the request was redirected from https to http. " + _TO_FOLLOW
        if same_name and name != self._name:
            return "another service has redirected the request there. " + _TO_FOLLOW
        return None


#: The call that the current task makes; set and reset by the trace of the session.
_current: ContextVar[_Call | None] = ContextVar("peerage_call", default=None)


async def _begin(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    context.outer = _current.get()
    _current.set(_Call())


async def _end(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    # Not None, because a middleware may make a call within another one.
    _current.set(context.outer)


def _make_trace() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(_begin)
    trace.on_request_end.append(_end)
    trace.on_request_exception.append(_end)
    return trace


class Authorize:
    """An aiohttp client middleware that adds an ``Authorization`` header to requests to ``.asab`` hosts.

    The header is obtained for each request, so a session may be open for longer than a token lives. A header
    that the caller gives, by ``headers=`` or ``auth=``, is sent instead, to any host; aiohttp drops it when a
    redirect leads to another origin, and none is added then.

    A redirect must not spend the caller's authority where the caller didn't mean to: after a request over
    https nothing is authorized over http, after one to a host outside of ``.asab`` nothing at all, and with
    *same_name* nothing but the name that was called. To follow such a redirect with authorization, make the
    request with ``allow_redirects=False`` and call the location that the response names.

    :meth:`peerage.client.Client.session` installs it: this object as a middleware, and :attr:`trace`.

    Args:
        header: returns the value of the header for a host; None: the request isn't authorized. An exception
            reaches the caller.
        same_name: whether redirects to other names go without authorization.
        logged: hosts for which the log has the warning that they get none; shared by several of these.
    """

    trace: Final = _make_trace()
    """Shows where a call begins: aiohttp calls a middleware for each redirect as for a call."""

    def __init__(
        self,
        header: Callable[[str], Awaitable[str | None]],
        *,
        same_name: bool = False,
        logged: set[str] | None = None,
    ) -> None:
        self._header = header
        self._same_name = same_name
        self._logged: set[str] = set() if logged is None else logged

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send *request*, authorized if it may be."""
        headers = request.headers
        host = request.url.host or ""
        call = _current.get()
        if call is None:
            raise RuntimeError("A session with Authorize as middleware needs its trace in trace_configs=.")
        own_header = hdrs.AUTHORIZATION in headers
        reason = call.why_not(
            host, secure=request.url.scheme == "https", own_header=own_header, same_name=self._same_name
        )
        if own_header:
            return await handler(request)
        if reason is not None:
            self._warn(host, reason)
            return await handler(request)
        try:
            authorization = await self._header(host)
        except asyncio.CancelledError:
            limit = current_deadline.get()
            if limit is not None and not limit.leaves_time(monotonic()):
                limit.note(f"the authorization for {host} was being waited for")
            raise
        if authorization is None:
            return await handler(request)
        headers[hdrs.AUTHORIZATION] = InternalToken(authorization)
        # Tools that record errors show the local variables of each frame.
        del authorization
        try:
            return await handler(request)
        finally:
            # A middleware outside may send the request again, with a newer header; and errors show headers.
            headers.popall(hdrs.AUTHORIZATION, None)

    def _warn(self, host: str, reason: str) -> None:
        if host in self._logged or len(self._logged) >= _LOGGED_HOSTS:
            return
        self._logged.add(host)
        log.warning("No authorization is sent to %s: %s", ascii(host), reason)


def _name_of(host: str) -> tuple[str, str] | str:
    try:
        return parse_host(host) if is_logical(host) else host
    except NotDiscoveredError:
        return host
