"""The application in which ``asab.api`` works: one of this layer, or one of the real asab.

ApiService and DiscoveryService are the same in both. What they need besides what any application of ASAB's
documentation has (``PubSub``, ``get_service()``, ``HostName``), a :class:`Host` gives.
"""

import configparser
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from peerage.asab.api.service import ApiService
    from peerage.discovery import Discovery

__all__ = ["ContextVars", "Host", "InternalAuthorization", "host_of"]


class ContextVars(Protocol):
    """What is known about the request being handled: the module ``asab.contextvars``, theirs or ours."""

    Request: ContextVar[Any]
    Authz: ContextVar[Any]


class InternalAuthorization(Protocol):
    """Authorizes requests as the service itself."""

    async def initialize(self, app: Any) -> None:
        """Begin to have keys, and accept what others of the cluster sign with them; doesn't wait."""

    def header(self) -> str:
        """Return an Authorization header that is valid now.

        Raises:
            RuntimeError: there is no key yet.
        """


class Host(Protocol):
    """An application as ``asab.api`` sees it."""

    @property
    def config(self) -> configparser.RawConfigParser:
        """The configuration of the program."""

    @property
    def contextvars(self) -> ContextVars:
        """Where the request being handled is found."""

    @property
    def unverified(self) -> bool:
        """Whether tokens are verified here, and that of this request isn't, if there is no Authz."""

    def serve(self, api: "ApiService", container: Any) -> None:
        """Add the endpoints of *api* to a web container, which from now on drains before it stops."""

    def scheme_of(self, container: Any) -> str:
        """Return ``http`` or ``https``: what is spoken where a web container listens first."""

    def make_zookeeper_container(self, service: Any) -> Any:
        """Return a new container of the section ``[zookeeper]``."""

    def discovery_of(self, container: Any) -> "Discovery":
        """Return discovery over the ZooKeeper of *container*, the same each time; it need not be started."""

    def open_discovery(self, container: Any) -> "Discovery":
        """Start it, unless it is started, and return it; needs the running event loop, and doesn't wait."""

    def internal_authorization(self, container: Any) -> InternalAuthorization | None:
        """Return what signs with the cluster's key in the ZooKeeper of *container*, None if there is none."""


def host_of(app: Any) -> Host:
    """Return the host that *app* is.

    The real asab isn't imported for that: an application of its has it loaded.
    """
    framework = sys.modules.get("asab")
    if framework is not None and isinstance(app, getattr(framework, "Application", ())):
        from peerage.asab.host.framework import Framework  # noqa: PLC0415 - for programs of the real asab

        return Framework.of(app)
    from peerage.asab.host.own import OwnHost  # noqa: PLC0415 - reads the configuration of this layer

    return OwnHost(app)
