"""Threads for calls that block."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from peerage.asab import abc
from peerage.asab.parts import Phase

if TYPE_CHECKING:
    from peerage.asab.application import Application

_T = TypeVar("_T")


class ProactorService(abc.Service):
    """``asab.ProactorService``: runs calls in threads.

    It has threads for itself alone, so calls that wait for a server out of reach delay nothing else.
    """

    peerage_phase: ClassVar[Phase] = Phase.ZOOKEEPER

    def __init__(self, app: "Application", service_name: str = "asab.ProactorService") -> None:
        super().__init__(app, service_name)
        self.Executor = ThreadPoolExecutor(thread_name_prefix="peerage.asab: proactor")

    def execute(self, func: Callable[..., _T], *args: Any) -> asyncio.Future[_T]:
        """Call ``func(*args)`` in a thread; await the result."""
        return self.App.Loop.run_in_executor(self.Executor, func, *args)

    async def finalize(self, app: "Application") -> None:  # noqa: ARG002 - the signature of each service
        """Accept no more calls; calls to ZooKeeper under way end with their container."""
        self.Executor.shutdown(wait=False, cancel_futures=True)


class Module(abc.Module):
    """``app.add_module(asab.proactor.Module)`` registers the service ``asab.ProactorService``."""

    def __init__(self, app: "Application") -> None:
        super().__init__(app)
        self.service = ProactorService(app)
