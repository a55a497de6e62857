"""The Discovery of a ZooKeeper container, with the time limit and the errors of applications."""

import os
from configparser import RawConfigParser
from typing import Final

from peerage.asab.utils import convert_to_seconds
from peerage.directory import SUSPECT_SECONDS
from peerage.discovery import Discovery
from peerage.disk_cache.location import VARIABLE, from_environment
from peerage.errors import ConfigurationError, NotDiscoveredError, NotReadyError
from peerage.registry import Registry

#: Seconds that a question waits until the registry was read once, by default. A program may start together
#: with its cluster.
READY_TIMEOUT: Final = 60.0


class NotDiscoveredInTimeError(NotDiscoveredError, NotReadyError):
    """No service is known because the registry wasn't read within the time limit."""


class ContainerDiscovery(Discovery):
    """A Discovery whose time limit is configured, and whose error is a NotDiscoveredError as well.

    The owner of *registry* closes it. The nodes of the cluster, and so the internal key, are below *chroot*.

    Raises:
        ConfigurationError: a value of the configuration can't be used.
    """

    def __init__(self, registry: Registry, config: RawConfigParser, chroot: str = "") -> None:
        super().__init__(
            registry,
            ready_timeout=_ready_timeout(config),
            suspect_seconds=_suspect_seconds(config),
            allowed_networks=config.get("discovery", "allowed_networks", fallback="").strip() or None,
            disk_cache=_disk_cache(config),
            disk_cache_key=_disk_cache_key(config),
        )
        self.membership.advice = (
            "servers and path in [zookeeper]; the time limit is ready_timeout in [discovery]"
        )
        self.key_root = chroot
        self.membership.not_ready = NotDiscoveredInTimeError


def _disk_cache(config: RawConfigParser) -> bool | str:
    configured = config.get("discovery", "disk_cache", fallback="").strip()
    return from_environment({VARIABLE: configured} if configured else None)


def _disk_cache_key(config: RawConfigParser) -> bool:
    try:
        return config.getboolean("discovery", "disk_cache_key", fallback=False)
    except ValueError as error:
        raise ConfigurationError(f"[discovery] disk_cache_key: {error}; write yes or no") from None


def _suspect_seconds(config: RawConfigParser) -> float:
    configured = config.get("discovery", "suspect_seconds", fallback="")
    try:
        return convert_to_seconds(configured or SUSPECT_SECONDS)
    except ValueError as error:
        raise ConfigurationError(f"[discovery] suspect_seconds: {error}") from None


def _ready_timeout(config: RawConfigParser) -> float:
    configured = config.get("discovery", "ready_timeout", fallback="")
    try:
        return convert_to_seconds(configured or os.environ.get("PEERAGE_READY_TIMEOUT") or READY_TIMEOUT)
    except ValueError as error:
        raise ConfigurationError(f"[discovery] ready_timeout or PEERAGE_READY_TIMEOUT: {error}") from None
