"""Calling services by name: aiohttp sessions whose every request goes to a live instance."""

from peerage.client.authorize import Authorize
from peerage.client.client import Client
from peerage.client.errors import UnreachableError, UnreachableTimeoutError
from peerage.client.resolver import Discoverable, DiscoveryResolver

__all__ = [
    "Authorize",
    "Client",
    "Discoverable",
    "DiscoveryResolver",
    "UnreachableError",
    "UnreachableTimeoutError",
]
