"""Requests that must match a JSON schema."""

import json
from collections.abc import Awaitable, Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from peerage.errors import MissingExtraError

#: Characters of the reason in the status line, of which clients read a few kilobytes only.
_LONGEST_REASON: Final = 500

_FORMS: Final = frozenset({"", "application/x-www-form-urlencoded", "multipart/form-data"})

Handler = Callable[..., Awaitable[web.StreamResponse]]


def json_schema_handler(
    json_schema: dict[str, Any] | str, *_: Any, **__: Any
) -> Callable[[Handler], Handler]:
    """Decorate a handler that takes the validated data of the request as ``json_data=``.

    ::

        @asab.web.rest.json_schema_handler({"type": "object", "required": ["name"]})
        async def create(self, request, *, json_data):
            ...

    The data may be JSON or a form; data that doesn't match is answered 400 with the reason.

    Args:
        json_schema: a schema of draft 4, 6 or 7, or the name of a file with one.

    Raises:
        MissingExtraError: the extra ``asab`` isn't installed.
        ValueError: it is something else, or the file isn't JSON.
    """
    validate = _validator(json_schema)

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def validated(*args: Any, **kwargs: Any) -> web.StreamResponse:
            last = args[-1]
            data = await _read(last.request if isinstance(last, web.View) else last)
            return await handler(*args, json_data=validate(data), **kwargs)

        # For generators of documentation.
        validated.json_schema = json_schema  # type: ignore[attr-defined]
        return validated

    return decorate


def _validator(json_schema: dict[str, Any] | str) -> Callable[[Any], Any]:
    if isinstance(json_schema, str):
        schema = json.loads(Path(json_schema).read_text(encoding="utf-8"))
    elif isinstance(json_schema, dict):
        schema = json_schema
    else:
        raise ValueError(  # noqa: TRY004 - as documented
            f"json_schema_handler() takes a schema, or the name of a file with one, not {json_schema!r}."
        )
    try:
        library = import_module("fastjsonschema")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "json_schema_handler() needs the package fastjsonschema: pip install 'peerage[asab]'",
            name=error.name,
        ) from error
    compiled = library.compile(schema)

    def validate(data: Any) -> Any:
        try:
            compiled(data)
        except library.JsonSchemaValueException as error:
            raise _bad_request(str(error)) from error
        return data

    return validate


async def _read(request: web.Request) -> Any:
    if request.content_type == "application/json":
        try:
            return await request.json()
        except (ValueError, LookupError, RecursionError) as error:
            # LookupError: an unknown character set; RecursionError: nested too deeply.
            raise _bad_request("Failed to parse JSON request") from error
    if request.content_type in _FORMS:
        try:
            return dict(await request.post())
        except (ValueError, LookupError) as error:
            raise _bad_request("Failed to parse form request") from error
    raise _bad_request(f"Unsupported content-type {request.content_type}")


def _bad_request(reason: str) -> web.HTTPBadRequest:
    # The reason may have data of the client: lone surrogates, which can't be encoded, and characters that
    # aren't allowed in a status line.
    text = reason.encode(errors="backslashreplace").decode()
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return web.HTTPBadRequest(reason=line[:_LONGEST_REASON], text=f"400: {line}")
