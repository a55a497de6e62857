"""Discovery as applications have it: with the patience of a program that starts together with its cluster."""

import os
from configparser import RawConfigParser
from typing import Final

from peerage.asab.utils import convert_to_seconds
from peerage.discovery import Discovery
from peerage.errors import ConfigurationError, NotDiscoveredError, NotReadyError
from peerage.registry import Registry

__all__ = ["NotDiscoveredInTimeError", "PatientDiscovery"]

#: Seconds that questions wait for the first look into the registry, by default.
READY_TIMEOUT: Final = 60.0


class NotDiscoveredInTimeError(NotDiscoveredError, NotReadyError):
    """Nobody is known because the registry couldn't be read within the time limit."""


class PatientDiscovery(Discovery):
    """A Discovery whose time limit is configured, and whose error then is what programs expect.

    Args:
        registry: not closed by this.
        config: the configuration of the program.
        chroot: path at the servers below which everything of the cluster is; the original has its key there.

    Raises:
        ConfigurationError: the time limit is no duration, or allowed_networks aren't networks.
    """

    def __init__(self, registry: Registry, config: RawConfigParser, chroot: str = "") -> None:
        super().__init__(
            registry,
            ready_timeout=_ready_timeout(config),
            allowed_networks=config.get("discovery", "allowed_networks", fallback="").strip() or None,
        )
        self.membership.advice = (
            "servers and path in [zookeeper]; the time limit is ready_timeout in [discovery]"
        )
        self.key_root = chroot
        self.membership.not_ready = NotDiscoveredInTimeError


def _ready_timeout(config: RawConfigParser) -> float:
    configured = config.get("discovery", "ready_timeout", fallback="")
    try:
        return convert_to_seconds(configured or os.environ.get("PEERAGE_READY_TIMEOUT") or READY_TIMEOUT)
    except ValueError as error:
        raise ConfigurationError(f"[discovery] ready_timeout or PEERAGE_READY_TIMEOUT: {error}") from None
