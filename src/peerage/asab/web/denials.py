"""Refusals in JSON, for clients that are programs."""

import json
from typing import Final

from aiohttp import web

from peerage.asab.exceptions import AccessDeniedError, NotAuthenticatedError
from peerage.web.handlers import Handler

__all__ = ["answer_denials"]

_UNTOUCHED: Final = "text/plain"


@web.middleware
async def answer_denials(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give NotAuthenticatedError and AccessDeniedError a body in JSON, unless they have one of their own."""
    try:
        return await handler(request)
    except (NotAuthenticatedError, AccessDeniedError) as error:
        if request.writer.output_size:
            # Too late for another answer, as in a WebSocket; written after the first, it would be noise.
            raise ConnectionResetError("Refused after the answer had begun, so it ends here.") from error
        if error.content_type == _UNTOUCHED:
            error.content_type = "application/json"
            error.text = json.dumps(_body(error))
        raise


def _body(error: NotAuthenticatedError | AccessDeniedError) -> dict[str, str | None]:
    told = None if error.text == f"{error.status}: {error.reason}" else error.text
    if isinstance(error, NotAuthenticatedError):
        return {"result": "NOT-AUTHORIZED", "message": told or "A valid token is needed."}
    return {"result": "ACCESS-DENIED", "message": told or "The token doesn't allow this."}
