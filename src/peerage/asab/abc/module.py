"""The base class of modules."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["Module"]


class Module:
    """Brings services into an application; ``app.add_module(MyModule)`` makes it, once.

    Its constructor makes the services. The coroutines are there to be overridden.
    """

    def __init__(self, app: "Application") -> None:
        """Take the application; what the module needs of it, a subclass keeps."""

    async def initialize(self, app: "Application") -> None:
        """Called when the event loop runs, before services are initialized."""

    async def finalize(self, app: "Application") -> None:
        """Called at the end, after services are finalized."""
