"""The deadline and the retry mark of a request apply to the calls of a WSGI application."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext

from peerage.calling.deadline import TIMEOUT_MS
from peerage.calling.retried import RETRY
from peerage.integrations.wsgi.messages import (
    App,
    Environ,
    Headers,
    StartResponse,
    Write,
    header,
    refuse,
    values,
)
from peerage.serving.propagation import TOO_LATE, GivenUpError, Inherited, read_inherited, unless_late
from peerage.serving.refusal import SERVER_ERROR


def propagate(app: App) -> App:
    """Return *app* with a middleware that applies the deadline and the retry mark of a request.

    They mean what :func:`peerage.web.propagate` says, for calls by :mod:`peerage.sync`. The work of the
    application itself isn't interrupted. If it fails because a call was given up at the deadline, the answer
    is 504 instead of 500.
    """

    def take_over(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        inherited = read_inherited(values(environ, TIMEOUT_MS), header(environ, RETRY))
        if inherited is None:
            return app(environ, start_response)
        return _Request(inherited, start_response).run(app, environ)

    return take_over


class _Request:
    """One request that inherits something, and its response, which the server iterates over and closes."""

    def __init__(self, inherited: Inherited, start_response: StartResponse) -> None:
        self._inherited = inherited
        self._start_response = start_response
        self._body: Iterable[bytes] = ()
        self._replacement: list[bytes] | None = None

    def run(self, app: App, environ: Environ) -> Iterable[bytes]:
        limit = self._inherited.__enter__().deadline
        try:
            with nullcontext() if limit is None else unless_late(limit):
                self._body = app(environ, self._start)
        except GivenUpError:
            self._body = refuse(self._start_response, TOO_LATE, sys.exc_info())
        except BaseException:
            self._inherited.__exit__()
            raise
        return self

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            if self._replacement is None:
                yield chunk
        yield from self._replacement or ()

    def close(self) -> None:
        """End the request: servers call this when the response was sent."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._inherited.__exit__()

    def _start(self, status: str, headers: Headers, exc_info: object = None) -> Write:
        error = () if exc_info is None else (exc_info,)
        if status.startswith(str(SERVER_ERROR)):
            # Frameworks make this answer of an exception, most of them after they have handled it.
            refusal = self._inherited.replacement(sys.exception())
            if refusal is not None:
                self._replacement = refuse(self._start_response, refusal, exc_info)
                return lambda _: None
        return self._start_response(status, headers, *error)
