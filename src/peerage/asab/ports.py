"""The interfaces between ``asab.api`` and the framework that an application is of; types only."""

import configparser
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from peerage.discovery import Discovery

__all__ = ["Api", "ContextVars", "Framework"]


class ContextVars(Protocol):
    """The module ``asab.contextvars``, of this layer or of the real asab."""

    Request: ContextVar[Any]
    Authz: ContextVar[Any]


class Api(Protocol):
    """An ApiService, as far as its HTTP endpoints read it."""

    Name: str
    App: Any
    Manifest: dict[str, Any] | None
    ChangeLog: str | None


class Framework(Protocol):
    """What ``asab.api`` needs of an application beside ``PubSub``, ``get_service()`` and ``HostName``."""

    @property
    def config(self) -> configparser.RawConfigParser:
        """The configuration of the program."""

    @property
    def contextvars(self) -> ContextVars:
        """The variables that hold the request being handled."""

    @property
    def unverified(self) -> bool:
        """Whether tokens are verified here, so that without an Authz this request's token is unverified."""

    def serve(self, api: Api, container: Any) -> None:
        """Add the endpoints of *api* to a web container, which drains before it stops from then on."""

    def web_of(self, container: Any) -> list[tuple[str, int, str]]:
        """Return address, port and scheme of each socket on which a web container listens."""

    def make_zookeeper_container(self, service: Any) -> Any:
        """Return a new container of the section ``[zookeeper]``."""

    def discovery_of(self, container: Any) -> "Discovery":
        """Return the Discovery over the ZooKeeper of *container*; it need not be started."""

    def open_discovery(self, container: Any) -> "Discovery":
        """Start it, unless it is started, and return it; needs the running event loop, and doesn't wait."""

    def accept_internal_tokens(self, container: Any) -> None:
        """Make AuthService accept the internal tokens of the cluster of *container*; doesn't wait."""
