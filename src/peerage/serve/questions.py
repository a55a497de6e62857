"""What all requests for instances share: criteria in the query, and 503 until the registry was read."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from peerage.directory import Criteria, read_criteria
from peerage.errors import ConfigurationError
from peerage.serve.answers import refuse
from peerage.serve.view import View

#: Seconds after which a client may ask again while nothing is known.
_RETRY_AFTER: Final = 5


def not_ready(view: View) -> web.Response | None:
    """Return the answer 503 as long as the registry wasn't read; None afterwards, in an outage as well."""
    membership = view.membership
    if membership.ready:
        return None
    reason = (membership.stale or "it hasn't answered yet").rstrip(".")
    return refuse(
        503,
        f"The registry {membership.registry.url} wasn't read yet: {reason}. Ask again later, and check "
        "that it runs and that this server may read it.",
        retry_after=_RETRY_AFTER,
    )


def question(view: View, ask: Callable[[web.Request, Criteria], Awaitable[web.StreamResponse]]) -> Handler:
    """Return the handler that answers with *ask* of the request and the criteria in its query.

    It answers 503 as long as the registry wasn't read: an empty list would say that there are no services.
    While the registry is out of reach, it answers with what is known. Wrong criteria are 400.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        if (refused := not_ready(view)) is not None:
            return refused
        try:
            criteria = read_criteria(request.query.items())
        except ConfigurationError as error:
            return refuse(400, f"{error}")
        return await ask(request, criteria)

    return handle
