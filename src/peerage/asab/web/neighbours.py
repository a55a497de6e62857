"""What services of the web find in their application, whenever it was made."""

from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from peerage.asab.application import Application
    from peerage.asab.web.container import WebContainer
    from peerage.discovery import Discovery

__all__ = ["find_discovery", "only_container", "open_session"]


def only_container(app: "Application") -> "WebContainer | None":
    """Return the web container if there is exactly one."""
    service = app.Services.get("asab.WebService")
    containers = [] if service is None else [*service.Containers.values()]
    return containers[0] if len(containers) == 1 else None


def find_discovery(app: "Application") -> "Discovery | None":
    """Return discovery, None while there is none."""
    service = app.Services.get("asab.DiscoveryService")
    return None if service is None else service.ZooKeeperContainer.open_discovery()


def open_session(app: "Application") -> aiohttp.ClientSession:
    """Return a session without any authorization, by discovery if there is one."""
    discovery = find_discovery(app)
    return aiohttp.ClientSession() if discovery is None else discovery.session()
