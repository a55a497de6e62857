"""The innermost middleware of a session: carries out what a :class:`~peerage.calling.Call` decides.

The seam in aiohttp is ``request.url``, documented as the URL the connection is made to: it gets the literal
address of the instance, while Host header, cookies, redirects and ``response.url`` follow the URL that the
caller gave. So connections are pooled per instance, and each request is balanced even over one session.

Connections to instances are pooled apart from those that the program makes itself to the same address
(``server_hostname`` is part of the pool's key): a connection that the rules for records forbid isn't reused.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final

import aiohttp

from peerage.calling import Call, CallOptions
from peerage.calling.deadline import Deadline, begin, current_deadline
from peerage.calling.options import current_options
from peerage.calling.retried import is_nested
from peerage.calling.retry import IDEMPOTENCY_KEY
from peerage.calling.trace import begin_trace, collecting
from peerage.client.exchange import Exchange, Resources
from peerage.client.intime import in_time
from peerage.membership import Membership
from peerage.records.names import logical_name
from peerage.timing import monotonic

#: Methods that need no idempotency key.
_WITHOUT_KEY: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class BalancingMiddleware:
    """An aiohttp client middleware; requests to hosts outside of ``.asab`` pass through it unchanged.

    Args:
        membership: the instances, and whether they are known.
        resources: what all requests use.
        options: how calls deal with failures.
    """

    def __init__(self, membership: Membership, resources: Resources, options: CallOptions) -> None:
        self._membership = membership
        self._resources = resources
        self._options = options

    def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> Awaitable[aiohttp.ClientResponse]:
        """Send *request* to an instance, and to others if that fails and another attempt does no harm.

        Raises:
            NotDiscoveredError: no instance can be called by that name.
            DeadlineExceededError: its deadline has passed.
            NotReadyError: no snapshot of the registry arrived in time.
            UnreachableError: instances are known, and none could be reached.
            aiohttp.ClientError: the last failure, if there is no other attempt.
        """
        url = request.url
        host = url.raw_host
        if host is not None and "xn--" in host:
            # yarl decodes each host, remembers 256 of them, and takes 20 µs for one that it doesn't remember.
            host = url.host
        name = logical_name(host)
        if name is None:
            return handler(request)
        options, limit = current_options(self._options), None
        if options.deadline is not None or current_deadline.get() is not None:
            limit = begin(options.deadline, monotonic())
        method = request.method
        call = Call(
            self._resources.context,
            name,
            url.scheme,
            method,
            options=options,
            has_key=method not in _WITHOUT_KEY and IDEMPOTENCY_KEY in request.headers,
            nested=is_nested(),
            deadline=limit,
            trace=begin_trace(name, method) if collecting.get() else None,
        )
        exchange = Exchange(self._resources, call, request, handler)
        if limit is not None:
            return in_time(self._send(exchange), limit, f"{method} of {host}")
        # Most requests need no coroutine of this middleware.
        return exchange.run() if self._membership.ready else self._send(exchange)

    async def _send(self, exchange: Exchange) -> aiohttp.ClientResponse:
        """Send a request that has a deadline, or is made before the instances are known."""
        limit = exchange.call.deadline
        if not self._membership.ready:
            await self._wait_ready(limit)
        try:
            return await exchange.run()
        except asyncio.CancelledError:
            if limit is not None and not exchange.call.has_time():
                limit.note(exchange.call.waiting(exchange.attempt))
            raise

    async def _wait_ready(self, limit: Deadline | None) -> None:
        try:
            await self._membership.wait_ready()
        except asyncio.CancelledError:
            if limit is not None and not limit.leaves_time(monotonic()):
                limit.note("the first snapshot of the registry was being waited for")
            raise
