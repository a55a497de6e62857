"""For ASGI applications (FastAPI, Starlette, Litestar, plain ASGI): the middlewares of :mod:`peerage.web`.

::

    app = authorize(app, verifier)

Each is a function that takes the application and returns one, so Starlette, FastAPI and Litestar can install
it as well: ``app.add_middleware(authorize, verifier=verifier)``.
"""

from peerage.integrations.asgi.discovered import Discovered, discovered
from peerage.integrations.asgi.load import report_load
from peerage.integrations.asgi.misdirected import refuse_misdirected
from peerage.integrations.asgi.overload import limit_concurrency
from peerage.integrations.asgi.propagation import propagate
from peerage.serving.gradient import Gradient2

__all__ = [
    "Discovered",
    "Gradient2",
    "discovered",
    "limit_concurrency",
    "propagate",
    "refuse_misdirected",
    "report_load",
]
