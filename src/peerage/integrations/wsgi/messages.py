"""What the middlewares need of WSGI (PEP 3333): its types, headers, and refusals."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from peerage.serving.refusal import Refusal

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Write = Callable[[bytes], object]
StartResponse = Callable[..., Write]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


def header(environ: Environ, name: str) -> str | None:
    """Return the value of a header of the request; None if it has none. Several are joined by commas."""
    value: str | None = environ.get("HTTP_" + name.upper().replace("-", "_"))
    return value


def values(environ: Environ, name: str) -> list[str]:
    """Return all values of a header that can't have a comma in one."""
    value = header(environ, name)
    return [] if value is None else [each.strip() for each in value.split(",")]


def refuse(start_response: StartResponse, refusal: Refusal, exc_info: object = None) -> list[bytes]:
    """Answer with *refusal*: begin the response, and return its body."""
    body = refusal.text.encode()
    status = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
    headers = [
        ("Content-Type", f"{refusal.content_type}; charset=utf-8"),
        ("Content-Length", str(len(body))),
        *refusal.headers.items(),
    ]
    start_response(status, headers, *(() if exc_info is None else (exc_info,)))
    return [body]
