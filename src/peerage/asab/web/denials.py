"""Gives refusals a body in JSON."""

import json
from typing import Final

from aiohttp import web

from peerage.asab.exceptions import AccessDeniedError, NotAuthenticatedError
from peerage.web.handlers import Handler

__all__ = ["answer_denials"]

_DEFAULT_TYPE: Final = "text/plain"


@web.middleware
async def answer_denials(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give NotAuthenticatedError and AccessDeniedError a body in JSON, unless they have a body."""
    try:
        return await handler(request)
    except (NotAuthenticatedError, AccessDeniedError) as error:
        if request.writer.output_size:
            # A response has begun, such as a WebSocket; a second one would be read as part of it.
            raise ConnectionResetError("The response had begun when the request was refused.") from error
        if error.content_type == _DEFAULT_TYPE:
            error.content_type = "application/json"
            error.text = json.dumps(_body(error))
        raise


def _body(error: NotAuthenticatedError | AccessDeniedError) -> dict[str, str | None]:
    message = None if error.text == f"{error.status}: {error.reason}" else error.text
    if isinstance(error, NotAuthenticatedError):
        return {"result": "NOT-AUTHORIZED", "message": message or "A valid token is needed."}
    return {"result": "ACCESS-DENIED", "message": message or "The token doesn't allow this."}
