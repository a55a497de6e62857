"""What the middlewares need of WSGI (PEP 3333): its types, headers, and refusals."""

import sys
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from peerage.serving.refusal import SERVER_ERROR, Refusal

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


class Response:
    """The response of an application, which the server iterates over and closes.

    Frameworks turn an exception of a view into an answer with status 500. If the failure has a meaning here,
    that answer is replaced.

    Args:
        start_response: that of the server.
        refusal_of: returns what to answer instead of 500, given the exception that is being handled if there
            is one; None leaves the answer as it is.
        on_end: called once when the response is sent, or given up.
    """

    def __init__(
        self,
        start_response: StartResponse,
        *,
        refusal_of: Callable[[BaseException | None], Refusal | None] = lambda _: None,
        on_end: Callable[[], object],
    ) -> None:
        self._start_response = start_response
        self._refusal_of = refusal_of
        self._on_end: Callable[[], object] | None = on_end
        self._body: Iterable[bytes] = ()
        self._replacement: list[bytes] | None = None
        self.failed = False
        """Whether the application has raised an exception, or answered with status 500."""

    def begin(self, app: App, environ: Environ) -> None:
        """Call the application."""
        try:
            self._body = app(environ, self._start)
        except BaseException:
            self.failed = True
            raise

    def refuse(self, refusal: Refusal) -> None:
        """Answer with *refusal* what the application has raised; in the ``except`` block."""
        self._body = refuse(self._start_response, refusal, sys.exc_info())

    def end(self) -> None:
        """End the request, without a response if there is none; may be called twice."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body."""
        try:
            for chunk in self._body:
                if self._replacement is None:
                    yield chunk
        except BaseException:
            self.failed = True
            raise
        yield from self._replacement or ()

    def close(self) -> None:
        """End the request: servers call this when the response was sent."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self.end()

    def _start(self, status: str, headers: Headers, exc_info: object = None) -> Write:
        self.failed = status.startswith(str(SERVER_ERROR))
        if self.failed:
            # Most frameworks have handled the exception when they answer.
            refusal = self._refusal_of(sys.exception())
            if refusal is not None:
                self._replacement = refuse(self._start_response, refusal, exc_info)
                return lambda _: None
        return self._start_response(status, headers, *(() if exc_info is None else (exc_info,)))
