"""Errors as JSON."""

import json
import logging
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler

from peerage.asab.exceptions import Conflict, ValidationError
from peerage.asab.web.rest.json import json_response

log = logging.getLogger(__name__)

#: The status and the result of each exception.
_MEANINGS: Final = (
    (KeyError, 404, "NOT-FOUND"),
    (ValidationError, 400, "VALIDATION-ERROR"),
    (Conflict, 409, "CONFLICT"),
)

_RESULTS: Final = {401: "NOT-AUTHORIZED", 404: "NOT-FOUND"}


@web.middleware
async def JsonExceptionMiddleware(  # noqa: N802 - documented so
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Answer exceptions of handlers in JSON: ``{"result": …, "message": …, "uuid": …}``.

    A KeyError is answered 404, a ValidationError 400, a Conflict 409, an HTTP error with its status, and any
    other exception 500. The log has the uuid as well. If a response has begun, the connection is closed.
    """
    try:
        return await handler(request)
    except web.HTTPException as error:
        # A redirect, or a response without content, isn't an error.
        if isinstance(error, web.HTTPError):
            uuid = _log(request, error.status, error)
            error.text = json.dumps({**_described(error), "uuid": uuid})
            error.content_type = "application/json"
        raise
    except Exception as error:
        if request.writer.output_size:
            # A second response would be read as part of the first. aiohttp logs the error and disconnects.
            raise
        status, result, message = _meaning(error)
        uuid = _log(request, status, error)
        data = {"result": result, "message": message, "uuid": uuid}
        return json_response(request, data, status=status)


def _described(error: web.HTTPError) -> dict[str, Any]:
    """Return the result and the message of *error*, whose body may be such an object already."""
    if error.content_type == "application/json" and error.text:
        with suppress(ValueError):
            body = json.loads(error.text)
            if isinstance(body, dict) and "result" in body:
                return body
    return {"result": _RESULTS.get(error.status, "ERROR"), "message": error.text}


def _meaning(error: Exception) -> tuple[int, str, Any]:
    for kind, status, result in _MEANINGS:
        if isinstance(error, kind):
            return status, result, _message(error, kind.__name__)
    return 500, "ERROR", "Internal Server Error"


def _log(request: web.Request, status: int, error: BaseException) -> str:
    uuid = str(uuid4())
    unexpected = not isinstance(error, web.HTTPError)
    # No headers and no query, which may have tokens.
    log.log(
        logging.WARNING if unexpected and status < 500 else logging.ERROR,  # noqa: PLR2004 - from 500 on, it is the server's error
        "%s %s was answered %d, uuid %s: %r",
        *(request.method, request.rel_url.raw_path, status, uuid, error),
        exc_info=error if unexpected else None,
    )
    return uuid


def _message(error: BaseException, otherwise: str) -> Any:
    """Return the first argument of *error*, formatted with the others."""
    if not error.args or error.args[0] is None:
        return otherwise
    first, *others = error.args
    if others and isinstance(first, str):
        # The braces may not be those of a format.
        with suppress(LookupError, ValueError, AttributeError, TypeError):
            return first.format(*others)
    return first
