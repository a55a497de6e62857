"""The base class of modules."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["Module"]


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
