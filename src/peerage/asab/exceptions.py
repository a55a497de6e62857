"""Exceptions that a handler raises to answer with an error."""

import json
from typing import Any

import aiohttp.web


class ValidationError(Exception):
    """The request's data is invalid; ``JsonExceptionMiddleware`` answers 400."""


class Conflict(Exception):  # noqa: N818 - documented so
    """The request conflicts with the state of the service; ``JsonExceptionMiddleware`` answers 409.

    Args:
        message: the text; by default made of *key* and *value*.
        args: further arguments, for the message to be formatted with.
        key: the field in conflict.
        value: its value.
    """

    def __init__(self, message: Any = None, *args: Any, key: Any = None, value: Any = None) -> None:
        self.Key = key
        self.Value = value
        if message is None and key is not None:
            message = f"Conflict in field {key!r}" + (f": {value!r}" if value is not None else "")
        elif message is None:
            message = value
        super().__init__(*(() if message is None else (message,)), *args)


class NotAuthenticatedError(aiohttp.web.HTTPUnauthorized):
    """401: the sender isn't authenticated. The body is JSON, with *text* as its message."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**_answer("NOT-AUTHORIZED", "A valid token is needed.", "invalid_token", kwargs))


class AccessDeniedError(aiohttp.web.HTTPForbidden):
    """403: the sender isn't allowed to do this. The body is JSON, with *text* as its message."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            **_answer("ACCESS-DENIED", "The token doesn't allow this.", "insufficient_scope", kwargs)
        )


def _answer(result: str, message: str, challenge: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of aiohttp's exception; those that are *given* win."""
    headers = {
        "WWW-Authenticate": f'Bearer realm="asab", error="{challenge}"',
        **(given.get("headers") or {}),
    }
    if given.get("content_type") or given.get("body"):
        return {**given, "headers": headers}
    text = json.dumps({"result": result, "message": given.get("text") or message})
    return {**given, "headers": headers, "text": text, "content_type": "application/json"}
