"""A timer that calls a coroutine."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["Timer"]

log = logging.getLogger(__name__)


class Timer:
    """Calls *handler* once a time has passed; it is made stopped, and stops with the application.

    Args:
        app: the application.
        handler: a coroutine function without arguments; its exceptions are logged.
        autorestart: start again, with the same time, whenever it has gone off.
    """

    def __init__(
        self,
        app: "Application",
        handler: Callable[[], Awaitable[Any]],
        autorestart: bool = False,  # noqa: FBT001, FBT002 - documented so
    ) -> None:
        self.App = app
        self.Handler = handler
        self.AutoRestart = autorestart
        self.Task: asyncio.Task[None] | None = None
        # Handlers under way aren't the timer's to cancel, but somebody must hold their tasks.
        self._handling: set[asyncio.Task[None]] = set()
        app.PubSub.subscribe("Application.stop!", self._on_stop)

    def start(self, timeout: float) -> None:
        """Go off in *timeout* seconds.

        Raises:
            RuntimeError: it is started already; ``restart()`` sets another time.
        """
        if self.is_started():
            raise RuntimeError("This timer is started already: stop() it first, or call restart().")
        self.Task = self.App.Loop.create_task(self._run(timeout))

    def stop(self) -> None:
        """Don't go off; a handler under way goes on."""
        if self.Task is not None:
            self.Task.cancel()
            self.Task = None

    def restart(self, timeout: float) -> None:
        """Go off in *timeout* seconds from now, whether started or not."""
        self.stop()
        self.start(timeout)

    def is_started(self) -> bool:
        """Tell whether it will go off."""
        return self.Task is not None

    async def _run(self, timeout: float) -> None:  # noqa: ASYNC109 - what it is about
        await asyncio.sleep(timeout)
        task, self.Task = self.Task, None
        if task is not None:
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)
        if self.AutoRestart:
            self.start(timeout)
        try:
            await self.Handler()
        except Exception:
            log.exception("The handler of a timer failed: %r", self.Handler)

    def _on_stop(self, _message_type: str, *_: Any) -> None:
        self.stop()
