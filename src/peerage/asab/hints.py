"""What to do when a service that is asked for isn't there, where that isn't plain."""

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
    """Say, once, how the service would be there."""
    if service_name in _HINTS and service_name not in _given:
        _given.add(service_name)
        log.log(LOG_NOTICE, "%s", _HINTS[service_name])
