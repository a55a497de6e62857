"""What the web part finds in its application, whenever it was made."""

from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from peerage.asab.application import Application
    from peerage.asab.web.container import WebContainer
    from peerage.discovery import Discovery

__all__ = ["Callee", "find_discovery", "only_container", "open_session"]


class Callee:
    """How the process is called, as :func:`peerage.web.refuse_misdirected` asks: by all its registries."""

    def __init__(self, app: "Application") -> None:
        self._app = app

    def own_ids(self) -> set[tuple[str, str]]:
        """Return the ``(key, value)`` pairs, folded, by which this process is called."""
        return set[tuple[str, str]]().union(*(each.own_ids() for each in self._discoveries()))

    def own_records(self) -> set[str]:
        """Return the names that its records in the registries have or had."""
        return set[str]().union(*(each.own_records() for each in self._discoveries()))

    def _discoveries(self) -> "list[Discovery]":
        service = self._app.Services.get("asab.ZooKeeperService")
        return [] if service is None else [container.discovery for container in service.Containers]


def only_container(app: "Application") -> "WebContainer | None":
    """Return the web container if there is exactly one, else None."""
    service = app.Services.get("asab.WebService")
    containers = [] if service is None else [*service.Containers.values()]
    return containers[0] if len(containers) == 1 else None


def find_discovery(app: "Application") -> "Discovery | None":
    """Return the started Discovery; None while there is no DiscoveryService."""
    service = app.Services.get("asab.DiscoveryService")
    return None if service is None else service.ZooKeeperContainer.open_discovery()


def open_session(app: "Application") -> aiohttp.ClientSession:
    """Return a session without authorization; by discovery, if there is a DiscoveryService."""
    discovery = find_discovery(app)
    return aiohttp.ClientSession() if discovery is None else discovery.session()
