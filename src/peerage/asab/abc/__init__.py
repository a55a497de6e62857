"""The base classes of modules and services; ``asab.abc.Service`` is ``asab.Service``."""

from typing import TYPE_CHECKING

from peerage.asab.abc.singleton import Singleton

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["Module", "Service", "Singleton"]


class Module:
    """Adds services to an application; ``app.add_module(MyModule)`` makes it, once.

    Its constructor makes the services. Subclasses override the coroutines.
    """

    def __init__(self, app: "Application") -> None:
        """Do nothing with *app*; subclasses make their services here."""

    async def initialize(self, app: "Application") -> None:
        """Called when the event loop runs, before services are initialized."""

    async def finalize(self, app: "Application") -> None:
        """Called at the end, after services are finalized."""


class Service:
    """A service, which ``app.get_service(name)`` returns; the constructor registers it.

    Subclasses override the coroutines.

    Raises:
        RuntimeError: there is a service of that name.
    """

    def __init__(self, app: "Application", service_name: str) -> None:
        self.Name = service_name
        self.App = app
        app._register_service(self)  # noqa: SLF001 - services of ASAB call it as well

    async def initialize(self, app: "Application") -> None:
        """Called when the event loop runs, or within a tick if the service is made later.

        Services are initialized one after the other, the one registered last first. An exception is logged,
        and the other services are initialized all the same.
        """

    async def finalize(self, app: "Application") -> None:
        """Called at the end, for all services at the same time. Discovery works until all are done."""
