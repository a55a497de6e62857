"""For aiohttp servers: middlewares, and a stop that finishes the requests under way.

::

    app = aiohttp.web.Application(middlewares=[authorize(verifier)])
    run_app(app, discovery, port=8080)

The authorization is loaded on first use, so that the rest doesn't need its packages.
"""

from typing import TYPE_CHECKING

from peerage.lazy import loader
from peerage.serving.gradient import Gradient2
from peerage.web.draining import drain_on_signals
from peerage.web.load import report_load
from peerage.web.misdirected import refuse_misdirected
from peerage.web.overload import limit_concurrency
from peerage.web.propagation import propagate
from peerage.web.running import run_app, serve_app
from peerage.web.stopping import GracefulStop

__all__ = [
    "PRINCIPAL",
    "GracefulStop",
    "Gradient2",
    "authorize",
    "caller",
    "drain_on_signals",
    "limit_concurrency",
    "noauth",
    "propagate",
    "refuse_misdirected",
    "report_load",
    "require",
    "require_superuser",
    "run_app",
    "serve_app",
]

if TYPE_CHECKING:
    from peerage.web.authorization import PRINCIPAL, authorize, caller, noauth, require, require_superuser
else:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), dict.fromkeys(__all__, "authorization"))
