"""The deadline and the retry mark of a request apply to the calls of a WSGI application."""

from collections.abc import Iterable, Iterator

from peerage.calling.deadline import TIMEOUT_MS
from peerage.calling.retried import RETRY
from peerage.errors import DeadlineExceededError
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
from peerage.serving.propagation import TOO_LATE, Inherited, read_inherited
from peerage.timing import monotonic


def propagate(app: App) -> App:
    """Return *app* with a middleware that applies the deadline and the retry mark of a request.

    They mean what :func:`peerage.web.propagate` says, for calls by :mod:`peerage.sync`. The work of the
    application itself isn't interrupted. A failure after the deadline has passed is answered with 504.
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
        self._replaced = False

    def run(self, app: App, environ: Environ) -> Iterable[bytes]:
        self._inherited.__enter__()
        try:
            if self._too_late:
                self._body = refuse(self._start_response, TOO_LATE)
            else:
                self._body = app(environ, self._start)
        except BaseException as error:
            self._inherited.__exit__()
            if isinstance(error, DeadlineExceededError) and self._too_late:
                return refuse(self._start_response, TOO_LATE)
            raise
        return self

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            if not self._replaced:
                yield chunk
        if self._replaced:
            yield TOO_LATE.text.encode()

    def close(self) -> None:
        """End the request: servers call this when the response was sent."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._inherited.__exit__()

    @property
    def _too_late(self) -> bool:
        limit = self._inherited.deadline
        return limit is not None and not limit.leaves_time(monotonic())

    def _start(self, status: str, headers: Headers, exc_info: object = None) -> Write:
        # Frameworks turn exceptions into this answer.
        if status.startswith("500") and self._too_late:
            self._replaced = True
            refuse(self._start_response, TOO_LATE, exc_info)
            return lambda _: None
        return self._start_response(status, headers, *(() if exc_info is None else (exc_info,)))
