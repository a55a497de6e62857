"""The ApiService, which advertises the application, and the DiscoveryService in ``asab.api.discovery``."""

from typing import TYPE_CHECKING

from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.asab.api import discovery
    from peerage.asab.api.service import ApiService

__all__ = ["ApiService", "discovery"]

if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), {"ApiService": "service"}, {"discovery"})
