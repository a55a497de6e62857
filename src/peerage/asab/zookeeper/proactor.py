"""Threads for calls that wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from peerage.asab.config import Config
from peerage.asab.parts import Floor
from peerage.asab.service import Service

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["ProactorService"]

_T = TypeVar("_T")


class ProactorService(Service):
    """``asab.ProactorService``: runs calls in threads.

    They are its own: calls that wait for a server which is out of reach keep nobody else waiting. How many
    there are at most is said by ``[asab:proactor] max_workers``; by default that depends on the machine.
    """

    peerage_floor: ClassVar[Floor] = Floor.ZOOKEEPER

    def __init__(self, app: "Application", service_name: str = "asab.ProactorService") -> None:
        super().__init__(app, service_name)
        most = Config.getint("asab:proactor", "max_workers", fallback=0)
        self.Executor = ThreadPoolExecutor(
            max_workers=most if most > 0 else None, thread_name_prefix="peerage.asab: proactor"
        )

    def execute(self, func: Callable[..., _T], *args: Any) -> asyncio.Future[_T]:
        """Call ``func(*args)`` in a thread; await the result."""
        return self.App.Loop.run_in_executor(self.Executor, func, *args)

    def schedule(self, func: Callable[..., Any], *args: Any) -> None:
        """Call ``func(*args)`` in a thread; nobody waits for it, and its exception is logged."""
        self.App.TaskService.schedule(self.execute(func, *args))

    async def finalize(self, app: "Application") -> None:  # noqa: ARG002 - as of each service
        """Take no more calls; those to ZooKeeper under way end with their container."""
        self.Executor.shutdown(wait=False, cancel_futures=True)
