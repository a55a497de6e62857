"""A middleware that refuses requests for which there is no capacity, so that the others are served."""

import threading
from collections.abc import Iterable

from peerage.calling.misdirected import DIALLED
from peerage.integrations.wsgi.messages import App, Environ, Response, StartResponse, header, refuse
from peerage.serving.gradient import Gradient2
from peerage.serving.overload import Overload
from peerage.timing import monotonic


def limit_concurrency(app: App, limit: Gradient2 | None = None) -> App:
    """Return *app* with a middleware that answers 503 when too many requests are under way.

    It refuses as :func:`peerage.web.limit_concurrency` does. A request counts until its response is sent.
    Each worker process of a server has a separate limit. A worker has as many requests under way as it has
    threads, and the others wait where no application sees them: so this has no effect unless there are more
    threads than the limit, as with gunicorn's ``--worker-class gthread --threads 100``.

    Args:
        app: the application.
        limit: the limit; by default ``Gradient2()``, which begins with 20 and adapts itself.
    """
    limit = limit or Gradient2()
    overload = Overload(limit)
    lock = threading.Lock()

    def refusing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        began = monotonic()
        with lock:
            refusal = overload.refuse(began, header(environ, DIALLED))
        if refusal is not None:
            return refuse(start_response, refusal)

        def done() -> None:
            ended = monotonic()
            with lock:
                # How long a view took to fail is no measure.
                limit.done(ended, ended - began if not response.failed else None)

        response = Response(start_response, on_end=done)
        try:
            response.begin(app, environ)
        except BaseException:
            response.end()
            raise
        return response

    return refusing
