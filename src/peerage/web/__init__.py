"""What an aiohttp server needs of peerage: middlewares, and a stop that finishes what is under way.

::

    app = aiohttp.web.Application(middlewares=[refuse_misdirected(discovery), authorize(verifier)])

Each name is loaded on first use, so that ``refuse_misdirected`` doesn't need the packages of ``authorize``.
"""

from typing import TYPE_CHECKING, Final

from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.web.authorization import PRINCIPAL, authorize, caller, noauth, require, require_superuser
    from peerage.web.misdirected import refuse_misdirected
    from peerage.web.stopping import GracefulStop

_HOME_OF: Final = {
    "GracefulStop": "stopping",
    "PRINCIPAL": "authorization",
    "authorize": "authorization",
    "caller": "authorization",
    "noauth": "authorization",
    "refuse_misdirected": "misdirected",
    "require": "authorization",
    "require_superuser": "authorization",
}

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

if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), _HOME_OF)
