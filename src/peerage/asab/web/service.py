"""The web servers of an application, and the module that brings them."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import aiohttp.web

from peerage.asab import abc
from peerage.asab.config import Config
from peerage.asab.parts import Phase
from peerage.asab.web.container import WebContainer

if TYPE_CHECKING:
    from peerage.asab.application import Application
    from peerage.discovery import Discovery


class WebService(abc.Service):
    """``asab.WebService``: the dictionary of the containers."""

    peerage_phase: ClassVar[Phase] = Phase.WEB

    def __init__(self, app: "Application", service_name: str = "asab.WebService") -> None:
        super().__init__(app, service_name)
        self.Containers: dict[str, WebContainer] = {}
        """By their sections."""

    # How the process is called, by all its registries, as peerage.web.refuse_misdirected() asks

    def own_ids(self) -> set[tuple[str, str]]:
        """Return the ``(key, value)`` pairs, folded, by which this process is called."""
        return {pair for discovery in self._discoveries() for pair in discovery.own_ids()}

    def own_records(self) -> set[str]:
        """Return the names that its records in the registries have or had."""
        return {name for discovery in self._discoveries() for name in discovery.own_records()}

    def _discoveries(self) -> "Iterator[Discovery]":
        service = self.App.Services.get("asab.ZooKeeperService")
        return iter(()) if service is None else (each.discovery for each in service.Containers)

    # Containers

    @property
    def WebContainer(self) -> "WebContainer":  # noqa: N802 - documented so
        """The container of ``[web]``, made on first use.

        Raises:
            RuntimeError: there is no such section.
        """
        if not Config.has_section("web"):
            raise RuntimeError(
                "There is no [web] section in the configuration: write one, with listen=0.0.0.0 8080 for "
                "example, or make a WebContainer of another section and pass it as an argument."
            )
        if "web" not in self.Containers:
            WebContainer(self, "web")
        return self.Containers["web"]

    @property
    def WebApp(self) -> aiohttp.web.Application:  # noqa: N802 - documented so
        """The aiohttp application of that container."""
        return self.WebContainer.WebApp


class Module(abc.Module):
    """``app.add_module(asab.web.Module)`` registers the service ``asab.WebService``."""

    def __init__(self, app: "Application") -> None:
        super().__init__(app)
        self.service = WebService(app)


def create_web_server(
    app: "Application",
    section: str = "web",
    config: Mapping[str, Any] | None = None,
    api: bool = False,  # noqa: FBT001, FBT002 - documented so
) -> aiohttp.web.UrlDispatcher:
    """Make a web container and return its router for adding routes; with *api*, make an ApiService too."""
    app.add_module(Module)
    container = WebContainer(app.get_service("asab.WebService"), section, config=config)
    if api:
        # Imported here, because peerage.asab.api is a layer above.
        import_module("peerage.asab.api").ApiService(app).initialize_web(container)
    return container.WebApp.router
