"""Hints for programs that ask for a service before it is made."""

import logging
from typing import Final

from peerage.asab.log import LOG_NOTICE

__all__ = ["hint"]

log = logging.getLogger(__name__)

_HINTS: Final = {
    "asab.DiscoveryService": (
        "There is no asab.DiscoveryService: make an ApiService and call its initialize_zookeeper(), which "
        "works without a ZooKeeper server as well, before it is asked for"
    ),
}

_given: Final[set[str]] = set()


def hint(service_name: str) -> None:
    """Log, once, how the service is made, if that isn't obvious."""
    if service_name in _HINTS and service_name not in _given:
        _given.add(service_name)
        log.log(LOG_NOTICE, "%s", _HINTS[service_name])
