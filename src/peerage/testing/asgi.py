"""The lifespan of an ASGI application in tests: its startup, its state, and its shutdown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from peerage.integrations.asgi.messages import App, Message, Receive, Scope, Send


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[App]:
    """Start *app* as a server does, yield what is to be called in its place, and shut it down at the end.

    ::

        async with lifespan(app) as started:
            client = httpx.AsyncClient(transport=httpx.ASGITransport(started), base_url="http://shop")

    ``httpx.ASGITransport`` alone doesn't start an application: its Discovery would not be open.

    Raises:
        RuntimeError: its startup or shutdown failed; the message is that of the application.
    """
    state: dict[str, Any] = {}
    events: asyncio.Queue[Message] = asyncio.Queue()
    answers: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    living = asyncio.ensure_future(app(scope, events.get, answers.put))

    async def step(name: str) -> None:
        await events.put({"type": f"lifespan.{name}"})
        answering = asyncio.ensure_future(answers.get())
        try:
            await asyncio.wait({answering, living}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                living.result()
                raise RuntimeError(f"The application ended without an answer to lifespan.{name}.")
            if (answer := answering.result())["type"] != f"lifespan.{name}.complete":
                raise RuntimeError(f"The application failed: {answer.get('message') or answer['type']}")
        finally:
            answering.cancel()

    async def started(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {**state}}, receive, send)

    try:
        await step("startup")
        try:
            yield started
        finally:
            await step("shutdown")
    finally:
        living.cancel()
        await asyncio.wait({living})
