"""What an aiohttp server needs of peerage: middlewares, and a stop that finishes what is under way.

::

    app = aiohttp.web.Application(middlewares=[refuse_misdirected(discovery), authorize(verifier)])

What authorizes is loaded on first use, so that ``refuse_misdirected`` doesn't need its packages.
"""

from typing import TYPE_CHECKING

from peerage.lazy import loader
from peerage.web.misdirected import refuse_misdirected
from peerage.web.stopping import GracefulStop

__all__ = [
    "PRINCIPAL",
    "GracefulStop",
    "authorize",
    "caller",
    "noauth",
    "refuse_misdirected",
    "require",
    "require_superuser",
]

if TYPE_CHECKING:
    from peerage.web.authorization import PRINCIPAL, authorize, caller, noauth, require, require_superuser
else:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), dict.fromkeys(__all__, "authorization"))
