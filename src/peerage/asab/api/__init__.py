"""The ApiService, which advertises the application, and the DiscoveryService in ``asab.api.discovery``."""

from typing import TYPE_CHECKING, Final

from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.asab.api import discovery
    from peerage.asab.api.service import ApiService

_HOME_OF: Final = {"ApiService": "service"}

__all__ = ["ApiService", "discovery"]

if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), _HOME_OF, frozenset({"discovery"}))


def __dir__() -> list[str]:
    return [*__all__]
