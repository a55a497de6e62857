"""A timer that calls a coroutine."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from peerage.asab.application import Application

log = logging.getLogger(__name__)


class Timer:
    """Calls *handler* after a time; the constructor doesn't start it, and it stops with the application.

    Args:
        app: the application.
        handler: a coroutine function without arguments; its exceptions are logged.
        autorestart: start again, with the same time, after each call.
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
        self.Task: asyncio.TimerHandle | None = None
        # The event loop holds tasks weakly.
        self._handling: set[asyncio.Task[None]] = set()
        app.PubSub.subscribe("Application.stop!", self._on_stop)

    def start(self, timeout: float) -> None:
        """Call the handler in *timeout* seconds.

        Raises:
            RuntimeError: it is started already; ``restart()`` sets another time.
        """
        if self.is_started():
            raise RuntimeError("This timer is started already: stop() it first, or call restart().")
        self.Task = self.App.Loop.call_later(timeout, self._go_off, timeout)

    def stop(self) -> None:
        """Don't call the handler any more; a handler under way continues."""
        if self.Task is not None:
            self.Task.cancel()
            self.Task = None

    def restart(self, timeout: float) -> None:
        """Call the handler in *timeout* seconds from now, whether the timer was started or not."""
        self.stop()
        self.start(timeout)

    def is_started(self) -> bool:
        """Tell whether the handler will be called."""
        return self.Task is not None

    def _go_off(self, timeout: float) -> None:
        self.Task = None
        if self.AutoRestart:
            self.start(timeout)
        task = self.App.Loop.create_task(self._handle())
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    async def _handle(self) -> None:
        try:
            await self.Handler()
        except Exception:
            log.exception("The handler of a timer failed: %r", self.Handler)

    def _on_stop(self, _message_type: str, *_: Any) -> None:
        self.stop()
