"""A FastAPI application with all middlewares, for servers that run it as a program of their own."""

import asyncio
import os
import time
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse

from peerage.auth import Principal
from peerage.auth.fetched_keys import fetched_keys
from peerage.auth.verifier import Verifier
from peerage.calling.deadline import current_deadline
from peerage.integrations.asgi import (
    Gradient2,
    authorize,
    limit_concurrency,
    propagate,
    refuse_misdirected,
    report_load,
)
from peerage.integrations.fastapi import caller, require
from peerage.timing import monotonic


class Orders:
    """How this program is called."""

    def own_ids(self):
        return {("service_id", "orders")}

    def own_records(self):
        return {"Orders.0000000001"}


async def never(*_arguments, **_options):
    raise AssertionError("Nothing is fetched here.")


fastapi = FastAPI()
lasting = []
holding, released = asyncio.Event(), asyncio.Event()


@fastapi.get("/hang")
async def hang():
    await asyncio.Event().wait()


@fastapi.post("/hold")
async def hold():
    holding.set()
    await released.wait()


@fastapi.get("/holding")
async def wait_until_held():
    await holding.wait()


@fastapi.post("/release")
async def release():
    released.set()


@fastapi.get("/thread")
def thread():
    time.sleep(1)


@fastapi.get("/broken")
async def broken():
    async def stream():
        yield b"begun"
        await asyncio.Event().wait()

    return StreamingResponse(stream())


@fastapi.get("/events")
async def events():
    async def stream():
        for number in range(3):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(stream(), media_type="text/event-stream")


@fastapi.post("/later")
async def later(background: BackgroundTasks):
    async def last():
        lasting.append(current_deadline.get().left(monotonic()))

    background.add_task(last)
    return "accepted"


@fastapi.get("/lasted")
async def lasted():
    return [str(left) for left in lasting]


@fastapi.get("/who")
def who(who: Annotated[Principal, Depends(caller)]):
    return who.subject


@fastapi.get("/writes", dependencies=[Depends(require("a:write"))])
def writes():
    return "written"


@fastapi.websocket("/socket")
async def socket(socket: WebSocket, who: Annotated[Principal, Depends(caller)]):
    await socket.accept()
    await socket.send_json({"who": who.subject, "deadline": current_deadline.get() is not None})
    async for _message in socket.iter_text():
        who.require_resource_access("a:write")


async def app(scope, receive, send):
    """Serve one path with the smallest limit."""
    full = scope["type"] == "http" and scope["path"].endswith("/hold")
    await (limited if full else unlimited)(scope, receive, send)


verifier = Verifier(fetched_keys([], [os.environ["KEYS"]], never))
authorized = authorize(report_load(fastapi), verifier)
unlimited = refuse_misdirected(propagate(limit_concurrency(authorized)), Orders())
limited = propagate(limit_concurrency(authorized, Gradient2(least=1, initial=1)))
