"""Dependencies of FastAPI: deadlines, overload, and requests for another service."""

import asyncio
from urllib.parse import urlsplit

import aiohttp
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from tests.integrations.asgi.serving import serving
from tests.web.frameworks import Hanging

from peerage.calling.answers import OVERLOADED
from peerage.calling.deadline import TIMEOUT_MS, current_deadline
from peerage.calling.misdirected import DIALLED, MARK
from peerage.calling.retried import RETRY, is_nested
from peerage.deadlines import enforced
from peerage.integrations.asgi import propagate as middleware
from peerage.integrations.fastapi import Gradient2, limit_concurrency, propagate, refuse_misdirected
from peerage.testing import eventually
from peerage.timing import monotonic

DEADLINE = {TIMEOUT_MS: "60000"}
NO_TIME = {TIMEOUT_MS: "0"}


class Orders:
    def own_ids(self):
        return {("service_id", "orders")}

    def own_records(self):
        return set()


async def ask(url, method="GET", headers=None):
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
        return response.status, await response.json(), response.headers


def left():
    return current_deadline.get().left(monotonic())


@pytest.mark.parametrize("around", [lambda app: app, middleware])
@pytest.mark.usefixtures("virtual_clock")
async def test_an_operation_is_cancelled_when_the_deadline_passes(around):
    """Also if the middleware is installed; and without time left it isn't begun."""
    hanging = Hanging()
    app = FastAPI(dependencies=[Depends(propagate())])

    @app.get("/")
    async def hang():
        await hanging.handle(None)

    async with serving(around(app)) as url, aiohttp.ClientSession(url) as session:
        for headers in (DEADLINE, NO_TIME):
            async with session.get("/", headers=headers) as response:
                assert (response.status, response.headers[TIMEOUT_MS]) == (504, "0")
                assert "deadline" in await response.text()
    assert (hanging.begun, hanging.cancelled) == (1, 1)


async def test_an_operation_inherits_the_deadline_and_the_mark_of_a_retry():
    """Also in a thread, and in a router alone; nothing is left for the next request of a connection."""
    app = FastAPI()
    inside = APIRouter(dependencies=[Depends(propagate())])

    @inside.get("/loop")
    async def in_loop():
        return [current_deadline.get() is not None, is_nested()]

    @inside.get("/thread")
    def in_thread():
        return [current_deadline.get() is not None, is_nested()]

    app.include_router(inside)
    app.get("/outside")(in_loop)
    async with serving(app) as url, aiohttp.ClientSession(url) as session:
        for path in ("/loop", "/thread", "/outside"):
            for headers in (DEADLINE, {RETRY: "1"}, DEADLINE | {RETRY: "1"}, {}):
                async with session.get(path, headers=headers) as response:
                    inherited = [TIMEOUT_MS in headers, RETRY in headers]
                    assert await response.json() == (inherited if path != "/outside" else [False] * 2)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.usefixtures("virtual_clock")
async def test_background_tasks_run_after_the_response_and_arent_limited(method):
    """Neither by the deadline nor by the mark of a retry; only_safe or not."""
    seen = asyncio.get_running_loop().create_future()
    app = FastAPI(dependencies=[Depends(propagate(only_safe=True))])

    async def last():
        try:
            await asyncio.sleep(61)
        except asyncio.CancelledError:
            seen.set_result("cancelled")
            raise
        seen.set_result((left(), is_nested()))

    @app.api_route("/", methods=["GET", "POST"])
    async def begin(background: BackgroundTasks):
        assert 0 < left() <= 60
        background.add_task(last)
        return is_nested()

    async with serving(app) as url:
        assert (await ask(url, method, DEADLINE | {RETRY: "1"}))[:2] == (200, True)
        assert await seen == (float("inf"), False)


@pytest.mark.usefixtures("virtual_clock")
async def test_an_operation_that_isnt_cancelled_fails_by_its_calls():
    """Then the answer is 504; and 500 for a failure of another kind."""
    app = FastAPI(dependencies=[Depends(propagate(only_safe=True))])

    @app.post("/calls")
    async def calls():
        async with enforced(current_deadline.get()):
            await asyncio.Event().wait()

    @app.post("/fails")
    async def fails():
        await asyncio.sleep(61)
        raise HTTPException(500, "left() is negative")

    async with serving(app) as url:
        assert (await ask(f"{url}/calls", "POST", DEADLINE))[0] == 504
        assert (await ask(f"{url}/calls", "POST", NO_TIME))[0] == 504
        assert (await ask(f"{url}/fails", "POST", DEADLINE))[0] == 500


@pytest.mark.usefixtures("virtual_clock")
async def test_a_response_that_has_begun_is_broken_off():
    app = FastAPI(dependencies=[Depends(propagate())])

    @app.get("/")
    async def begin():
        async def stream():
            yield b"begun"
            await asyncio.Event().wait()

        return StreamingResponse(stream())

    async with (
        serving(app) as url,
        aiohttp.ClientSession() as session,
        session.get(url, headers=DEADLINE) as response,
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_requests_above_the_limit_of_a_router_are_refused():
    """Callers ask another instance; operations outside of the router aren't limited."""
    limit, begun, go_on = Gradient2(least=1, initial=1), asyncio.Event(), asyncio.Event()
    app = FastAPI()
    models = APIRouter(dependencies=[Depends(limit_concurrency(limit))])

    @models.get("/held")
    async def held():
        begun.set()
        await go_on.wait()
        return "held"

    @models.get("/other")
    @app.get("/outside")
    async def other():
        return "other"

    app.include_router(models)
    dialled = {DIALLED: "Orders.0000000001 127.0.0.1:80"}
    async with serving(app) as url, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(ask(f"{url}/held"))
        await begun.wait()
        for headers, mark in (({}, "1"), (dialled, dialled[DIALLED])):
            status, _, answered = await ask(f"{url}/other", headers=headers)
            assert (status, answered[OVERLOADED], answered["Retry-After"]) == (503, mark, "1")
        assert (await ask(f"{url}/outside"))[:2] == (200, "other")
        go_on.set()
        assert (await first)[:2] == (200, "held")
        await eventually(lambda: limit.under_way == 0)
        assert (await ask(f"{url}/other"))[0] == 200


async def test_a_request_counts_until_its_response_is_complete_however_it_ends():
    """Background tasks don't count; how long an operation took to fail is no measure."""
    measured, counted = [], asyncio.get_running_loop().create_future()

    class Limit(Gradient2):
        def done(self, now, seconds):
            measured.append(seconds is not None)
            super().done(now, seconds)

    limit = Limit(least=1, initial=1)
    app = FastAPI(dependencies=[Depends(limit_concurrency(limit))])

    async def last():
        counted.set_result(limit.under_way)

    @app.get("/later")
    async def later(background: BackgroundTasks):
        assert limit.under_way == 1
        background.add_task(last)

    @app.get("/fails/{status}")
    async def fails(status: int):
        raise HTTPException(status)

    async with serving(app) as url:
        assert (await ask(f"{url}/later"))[0] == 200
        assert await counted == 0
        for status in (404, 422, 500):
            assert (await ask(f"{url}/fails/{status}"))[0] == status
            assert limit.under_way == 0
    assert measured == [True, True, True, False]


async def test_a_request_for_another_service_is_refused():
    """Its operation isn't begun; peerage's callers look the name up again."""
    app = FastAPI(dependencies=[Depends(refuse_misdirected(Orders()))])

    @app.api_route("/", methods=["GET", "POST"])
    async def accept():
        return "accepted"

    async with serving(app) as url:
        dialled = {DIALLED: f"Pricing.0000000042 127.0.0.1:{urlsplit(url).port}"}
        status, _, headers = await ask(url, "POST", dialled | {"Host": "pricing.service_id.asab"})
        assert (status, headers[MARK]) == (421, dialled[DIALLED])
        assert (await ask(url, "POST", dialled | {"Host": "orders.service_id.asab"}))[0] == 200
        assert (await ask(url))[0] == 200


def test_they_leave_the_documentation_as_it_is():
    """FastAPI documents no parameter for them."""
    dependencies = [refuse_misdirected(Orders()), propagate(), limit_concurrency()]
    app = FastAPI(dependencies=[Depends(each) for each in dependencies])
    app.get("/")(lambda: None)
    assert "parameters" not in app.openapi()["paths"]["/"]["get"]
