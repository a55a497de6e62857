"""For WSGI applications (Flask, Django) under gunicorn: advertised, found as one instance, and drained.

::

    app.wsgi_app = discovered(app.wsgi_app, service_id="orders")

The other functions are middlewares: each takes the application and returns one. Importing this loads no
framework and no extra.
"""

from typing import TYPE_CHECKING

from peerage.integrations.wsgi.discovered import Discovered, discovered
from peerage.integrations.wsgi.overload import limit_concurrency
from peerage.integrations.wsgi.propagation import propagate
from peerage.lazy import loader
from peerage.serving.gradient import Gradient2

__all__ = [
    "Discovered",
    "Gradient2",
    "authorize",
    "caller",
    "discovered",
    "limit_concurrency",
    "propagate",
    "require",
    "require_superuser",
]

if TYPE_CHECKING:
    from peerage.integrations.wsgi.authorization import authorize, caller, require, require_superuser
else:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), dict.fromkeys(__all__, "authorization"))
