"""The base class of services."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["Service"]


class Service:
    """What ``app.get_service(name)`` returns; it registers itself as it is made.

    The coroutines are there to be overridden.

    Args:
        app: the application.
        service_name: the name to register under.

    Raises:
        RuntimeError: there is a service of that name.
    """

    def __init__(self, app: "Application", service_name: str) -> None:
        self.Name = service_name
        self.App = app
        app._register_service(self)  # noqa: SLF001 - so called by ASAB's own services, too

    async def initialize(self, app: "Application") -> None:
        """Called when the event loop runs, or within a tick if the service is made later.

        Services are initialized one after the other, the one registered last first. An exception is
        logged and costs this service alone.
        """

    async def finalize(self, app: "Application") -> None:
        """Called at the end, at the same time for all services. Discovery can be used until all are over."""
