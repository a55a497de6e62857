"""For ASGI applications (FastAPI, Starlette, Litestar, plain ASGI): the middlewares of :mod:`peerage.web`.

::

    app = authorize(app, verifier)

Each is a function that takes the application and returns one, so Starlette, FastAPI and Litestar can install
it as well: ``app.add_middleware(authorize, verifier=verifier)``. The authorization is loaded on first use, so
that the rest doesn't need its packages.
"""

from typing import TYPE_CHECKING

from peerage.integrations.asgi.discovered import Discovered, discovered
from peerage.integrations.asgi.load import report_load
from peerage.integrations.asgi.misdirected import refuse_misdirected
from peerage.integrations.asgi.overload import limit_concurrency
from peerage.integrations.asgi.propagation import propagate
from peerage.lazy import loader
from peerage.serving.gradient import Gradient2

__all__ = [
    "Discovered",
    "Gradient2",
    "authorize",
    "caller",
    "discovered",
    "limit_concurrency",
    "noauth",
    "propagate",
    "refuse_misdirected",
    "report_load",
    "require",
    "require_superuser",
]

if TYPE_CHECKING:
    from peerage.integrations.asgi.authorization import authorize, caller, noauth, require, require_superuser
else:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), dict.fromkeys(__all__, "authorization"))
