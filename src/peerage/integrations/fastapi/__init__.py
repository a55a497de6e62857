"""Dependencies for FastAPI: the caller of a request, the rights and the deadline that it has, limits.

::

    app = FastAPI(dependencies=[Depends(authorized(verifier))])


    @app.get("/v1/orders", dependencies=[Depends(require("orders:read"))])
    def orders(who: Annotated[Principal, Depends(caller)]): ...

The documentation that FastAPI makes (OpenAPI) says that these operations need a bearer token. Instead of
:func:`authorized`, the middleware :func:`peerage.integrations.asgi.authorize` may be installed. It protects
what isn't an operation as well: mounted applications, that documentation, and paths that don't exist.

:func:`propagate`, :func:`refuse_misdirected` and :func:`limit_concurrency` are dependencies with the names of
middlewares of :mod:`peerage.integrations.asgi`, for a router or an operation that needs other rules than the
rest. For a whole application use the middlewares, which act before FastAPI reads the body of the request:
:func:`~peerage.integrations.asgi.discovered` installs the first two.
"""

from peerage.integrations.fastapi.authorization import (
    authorized,
    caller,
    noauth,
    require,
    require_superuser,
)
from peerage.integrations.fastapi.misdirected import refuse_misdirected
from peerage.integrations.fastapi.opened import discovery
from peerage.integrations.fastapi.overload import limit_concurrency
from peerage.integrations.fastapi.propagation import propagate
from peerage.serving.gradient import Gradient2

__all__ = [
    "Gradient2",
    "authorized",
    "caller",
    "discovery",
    "limit_concurrency",
    "noauth",
    "propagate",
    "refuse_misdirected",
    "require",
    "require_superuser",
]
