"""The types of aiohttp handlers and middlewares."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

__all__ = ["Handler", "Middleware"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Middleware(Protocol):
    """A middleware of an aiohttp application."""

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer *request*, by *handler* or instead of it."""
