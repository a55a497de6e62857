"""The deadline and the retry mark of a request apply to the calls of a WSGI application."""

from collections.abc import Iterable
from contextlib import nullcontext

from peerage.calling.deadline import TIMEOUT_MS
from peerage.calling.retried import RETRY
from peerage.integrations.wsgi.messages import App, Environ, Response, StartResponse, header, values
from peerage.serving.propagation import TOO_LATE, GivenUpError, read_inherited, unless_late


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
        response = Response(start_response, refusal_of=inherited.replacement, on_end=inherited.__exit__)
        limit = inherited.__enter__().deadline
        try:
            with nullcontext() if limit is None else unless_late(limit):
                response.begin(app, environ)
        except GivenUpError:
            response.refuse(TOO_LATE)
        except BaseException:
            response.end()
            raise
        return response

    return take_over
