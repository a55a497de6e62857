"""An ASGI application applies the deadline of its callers, and the mark of a retry."""

import asyncio
import time

import aiohttp
import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from tests.integrations.asgi.serving import serving
from tests.web import frameworks
from tests.web.frameworks import Hanging

import peerage
import peerage.sync
from peerage import DeadlineExceededError
from peerage.calling.deadline import TIMEOUT_MS, current_deadline
from peerage.calling.retried import RETRY, is_nested
from peerage.integrations.asgi import propagate
from peerage.testing import eventually
from peerage.timing import monotonic


def application(handler):
    return Starlette(routes=[Route("/", handler, methods=["GET", "POST"])])


async def ask(url, method="GET", **headers):
    """Return the status and the text of an answer; the underscores of *headers* are dashes."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
        assert (response.headers.get(TIMEOUT_MS) == "0") == (response.status == 504)
        return response.status, await response.text()


async def show(_request):
    return JSONResponse({"deadline": current_deadline.get() is not None, "nested": is_nested()})


async def test_a_handler_is_cancelled_when_the_deadline_passes(caplog):
    hanging = Hanging()
    async with serving(propagate(application(hanging.handle))) as url:
        status, text = await ask(url, Peerage_Timeout_Ms="150")
    assert (status, hanging.cancelled) == (504, 1)
    assert "deadline" in text
    assert not caplog.records


async def test_a_handler_is_not_begun_without_time_left():
    hanging = Hanging()
    async with serving(propagate(application(hanging.handle))) as url:
        assert (await ask(url, Peerage_Timeout_Ms="0"))[0] == 504
    assert hanging.begun == 0


async def test_a_response_that_has_begun_is_broken_off():
    async def stream():
        yield b"begun"
        await asyncio.Event().wait()

    async def handler(_request):
        return StreamingResponse(stream())

    async with serving(propagate(application(handler))) as url:
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask(url, Peerage_Timeout_Ms="500")


async def test_what_runs_after_the_response_is_free_of_the_deadline_and_the_retry_mark():
    """Background tasks of Starlette run in the same task, after the response is complete."""
    answered, done = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def background():
        await answered.wait()
        left = current_deadline.get().left(monotonic())
        done.set_result((left, is_nested()))

    async def handler(_request):
        return PlainTextResponse("answered", background=BackgroundTask(background))

    async with serving(propagate(application(handler))) as url:
        assert await ask(url, Peerage_Timeout_Ms="60000", Peerage_Retry="1") == (200, "answered")
        answered.set()
        assert await done == (float("inf"), False)


@pytest.mark.parametrize("value", ["-1", "nan", "", "1e3", "99999999999", "0x1", "5 ms"])
async def test_a_value_that_makes_no_sense_is_ignored(value):
    async with serving(propagate(application(show))) as url:
        assert await ask(url, Peerage_Timeout_Ms=value) == (200, '{"deadline":false,"nested":false}')


async def test_nothing_is_left_for_the_next_request_of_the_connection():
    async with serving(propagate(application(show))) as url, aiohttp.ClientSession() as session:
        for headers in ({TIMEOUT_MS: "60000", RETRY: "1"}, {}):
            async with session.get(url, headers=headers) as response:
                assert set((await response.json()).values()) == {bool(headers)}


async def test_a_call_that_notices_first_that_the_deadline_has_passed_is_504(caplog):
    """Starlette answers its exception with 500, which would count as a failure of this instance."""

    async def handler(_request):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise DeadlineExceededError("The deadline of 0.15 s has passed") from None

    async with serving(propagate(application(handler))) as url:
        assert (await ask(url, Peerage_Timeout_Ms="150"))[0] == 504
    assert not caplog.records


async def test_a_smaller_deadline_of_the_handlers_own_is_its_own_affair():
    async def handler(_request):
        async with peerage.deadline(0):
            await asyncio.Event().wait()

    async with serving(propagate(application(handler))) as url:
        assert (await ask(url, Peerage_Timeout_Ms="60000"))[0] == 500


async def test_only_handlers_that_change_nothing_are_cancelled_if_that_is_chosen():
    hanging = Hanging()

    async def handler(request):
        if request.method == "GET":
            await hanging.handle(request)
        await eventually(lambda: not current_deadline.get().leaves_time(monotonic()))
        return PlainTextResponse("changed")

    async with serving(propagate(application(handler), only_safe=True)) as url:
        assert (await ask(url, Peerage_Timeout_Ms="150"))[0] == 504
        assert await ask(url, "POST", Peerage_Timeout_Ms="150") == (200, "changed")
    assert hanging.cancelled == 1


async def test_handlers_in_threads_and_behind_other_middlewares_inherit_the_deadline():
    """BaseHTTPMiddleware runs the handler in another task."""

    def in_thread(_request):
        return JSONResponse(current_deadline.get() is not None)

    async def pass_on(request, call_next):
        return await call_next(request)

    app = application(in_thread)
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    async with serving(propagate(app)) as url:
        assert await ask(url, Peerage_Timeout_Ms="60000") == (200, "true")
        assert await ask(url) == (200, "false")


async def test_installed_in_the_application_it_does_the_same():
    hanging = Hanging()
    app = application(hanging.handle)
    app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
    app.add_middleware(propagate)
    async with serving(app) as url:
        assert (await ask(url, Peerage_Timeout_Ms="150"))[0] == 504
    assert hanging.cancelled == 1


@pytest.mark.long
async def test_a_call_in_a_thread_fails_once_the_deadline_has_passed(tmp_path):
    """The thread itself can't be cancelled."""
    asked, failed, ended = [], [], asyncio.Event()
    loop = asyncio.get_running_loop()

    async def answer(request):
        asked.append(request)
        return "asked"

    async with (
        frameworks.serving("aiohttp", {"/": answer}) as orders,
        peerage.Discovery(f"embedded://{tmp_path}", service_id="orders") as discovery,
    ):
        await discovery.advertise(web=[("127.0.0.1", int(orders.rpartition(":")[2]))])
        caller = peerage.sync.Discovery(f"embedded://{tmp_path}")

        def handler(_request):
            with caller.client() as client:
                client.get("http://orders.service_id.asab/")
                while current_deadline.get().leaves_time(monotonic()):
                    time.sleep(0.01)
                try:
                    client.get("http://orders.service_id.asab/")
                except httpx.TimeoutException as error:
                    failed.append(error)
            caller.close()
            loop.call_soon_threadsafe(ended.set)

        async with serving(propagate(application(handler))) as url:
            assert (await ask(url, Peerage_Timeout_Ms="3000"))[0] == 504
            await ended.wait()
    assert len(failed) == len(asked) == 1
