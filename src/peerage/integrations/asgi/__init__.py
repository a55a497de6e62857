"""For ASGI applications: FastAPI, Starlette, Litestar, plain ASGI.

::

    app = discovered(authorize(app, verifier), service_id="orders")

:func:`discovered` advertises an application, and stops it without a failed call. The other functions are
middlewares: each takes the application and returns one, so Starlette, FastAPI and Litestar can install it as
well: ``app.add_middleware(authorize, verifier=verifier)``. Importing this loads no framework and no extra.
"""

from typing import TYPE_CHECKING

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
    from peerage.integrations.asgi.application import Discovered, discovered
    from peerage.integrations.asgi.authorization import authorize, caller, noauth, require, require_superuser
else:  # for a type checker every misspelled name would be valid
    _module_of = dict.fromkeys(__all__, "authorization") | dict.fromkeys(
        ("Discovered", "discovered"), "application"
    )
    __getattr__ = loader(__name__, globals(), _module_of)
