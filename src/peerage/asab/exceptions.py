"""Exceptions that a handler raises to answer with an error."""

from typing import Any

import aiohttp.web

__all__ = ["AccessDeniedError", "Conflict", "NotAuthenticatedError", "ValidationError"]


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
    """401: the sender isn't authenticated."""

    def __init__(self, **kwargs: Any) -> None:
        headers = {"WWW-Authenticate": 'Bearer realm="asab", error="invalid_token"'}
        super().__init__(headers={**headers, **(kwargs.pop("headers", None) or {})}, **kwargs)


class AccessDeniedError(aiohttp.web.HTTPForbidden):
    """403: the sender isn't allowed to do this."""

    def __init__(self, **kwargs: Any) -> None:
        headers = {"WWW-Authenticate": 'Bearer realm="asab", error="insufficient_scope"'}
        super().__init__(headers={**headers, **(kwargs.pop("headers", None) or {})}, **kwargs)
