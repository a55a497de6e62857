"""A server applies the deadline of its callers, and the mark of a retry."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from tests.web import frameworks
from tests.web.frameworks import FRAMEWORKS, Hanging, RefusedError, serving_aiohttp

import peerage
from peerage.calling.deadline import TIMEOUT_MS, current_deadline
from peerage.calling.retried import RETRY, is_nested
from peerage.deadlines import enforced
from peerage.testing import eventually
from peerage.timing import monotonic
from peerage.web import propagate


@asynccontextmanager
async def serving(handler, *, middlewares=None, **kwargs):
    """Serve *handler*; yields the URL."""
    app = web.Application(middlewares=[propagate(**kwargs)] if middlewares is None else middlewares)
    app.router.add_route("*", "/", handler)
    async with serving_aiohttp(app) as url:
        yield url


async def ask(url, method="GET", **headers):
    """Return the status and the text of an answer; the underscores of *headers* are dashes."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
        return response.status, await response.text()


async def show(request):
    limit = current_deadline.get()
    return web.json_response({"deadline": limit is not None, "nested": is_nested()})


async def test_a_handler_is_cancelled_when_the_deadline_passes():
    hanging = Hanging()
    async with serving(hanging.handle) as url:
        status, text = await ask(url, Peerage_Timeout_Ms="150")
    assert (status, hanging.cancelled) == (504, 1)
    assert "deadline" in text


async def test_a_handler_is_not_begun_without_time_left():
    hanging = Hanging()
    async with serving(hanging.handle) as url:
        assert (await ask(url, Peerage_Timeout_Ms="0"))[0] == 504
        headers = {TIMEOUT_MS: "0"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            assert response.headers[TIMEOUT_MS] == "0"
    assert hanging.begun == 0


async def test_a_handler_may_answer_although_it_was_cancelled():
    async def handler(request):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return web.Response(text="partial")

    async with serving(handler) as url:
        assert await ask(url, Peerage_Timeout_Ms="150") == (200, "partial")


async def test_the_error_of_a_cancelled_handler_is_that_of_the_handler():
    async def handler(request):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise web.HTTPConflict from None

    async with serving(handler) as url:
        assert (await ask(url, Peerage_Timeout_Ms="150"))[0] == 409


async def test_a_response_that_has_begun_is_broken_off_and_nothing_is_logged(caplog):
    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await asyncio.Event().wait()

    async with serving(handler) as url:
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask(url, Peerage_Timeout_Ms="500")
    assert not caplog.records


async def test_only_handlers_that_change_nothing_are_cancelled_if_that_is_chosen():
    hanging, passed = Hanging(), asyncio.Event()

    async def handler(request):
        if request.method == "GET":
            await hanging.handle(request)
        await eventually(lambda: not current_deadline.get().leaves_time(monotonic()))
        passed.set()
        return web.Response(text="changed")

    async with serving(handler, only_safe=True) as url:
        assert (await ask(url, Peerage_Timeout_Ms="150"))[0] == 504
        assert await ask(url, "POST", Peerage_Timeout_Ms="150") == (200, "changed")
    assert hanging.cancelled == 1
    assert passed.is_set()


@pytest.mark.usefixtures("virtual_clock")
async def test_a_handler_that_isnt_cancelled_and_whose_call_is_given_up_is_504():
    """500 would count as a failure of this instance; and without time left, it isn't begun."""
    begun = []

    async def handler(request):
        begun.append(True)
        async with enforced(current_deadline.get()):
            await asyncio.Event().wait()

    async with serving(handler, only_safe=True) as url:
        for timeout in ("60000", "0"):
            assert (await ask(url, "POST", Peerage_Timeout_Ms=timeout))[0] == 504
    assert len(begun) == 1


@pytest.mark.parametrize("value", ["-1", "nan", "", "1e3", "9" * 4000, "99999999999", "0x1", "5 ms"])
async def test_a_value_that_makes_no_sense_is_ignored(value):
    async with serving(show) as url:
        assert await ask(url, Peerage_Timeout_Ms=value) == (200, '{"deadline": false, "nested": false}')


async def test_a_huge_value_is_a_deadline_like_any_other():
    async with serving(show) as url:
        assert await ask(url, Peerage_Timeout_Ms="9" * 10) == (200, '{"deadline": true, "nested": false}')


@pytest.mark.parametrize(("value", "expected"), [("1", "true"), ("0", "false"), ("yes", "false")])
async def test_calls_made_for_a_retry_are_nested(value, expected):
    async with serving(show) as url:
        assert (await ask(url, Peerage_Retry=value))[1] == f'{{"deadline": false, "nested": {expected}}}'


async def test_nothing_is_left_for_the_next_request_of_the_connection():
    async with serving(show) as url, aiohttp.ClientSession() as session:
        for headers in ({TIMEOUT_MS: "60000", RETRY: "1"}, {}):
            async with session.get(url, headers=headers) as response:
                seen = await response.json()
            assert set(seen.values()) == {bool(headers)}


async def test_what_a_handler_leaves_behind_is_not_bound():
    """Otherwise a worker that the first request starts would never call again."""
    left = []

    async def stay(answered):
        await answered.wait()
        return current_deadline.get().left(monotonic()), is_nested()

    async def handler(request):
        answered = asyncio.Event()
        left.append((asyncio.create_task(stay(answered)), answered))
        raise web.HTTPNoContent

    async with serving(handler) as url:
        assert (await ask(url, Peerage_Timeout_Ms="60000", Peerage_Retry="1"))[0] == 204
        [(task, answered)] = left
        answered.set()
        assert await task == (float("inf"), False)


async def test_a_websocket_is_not_bound_by_the_deadline_of_its_handshake():
    async def handler(request):
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_json({"deadline": current_deadline.get() is not None, "nested": is_nested()})
        await websocket.close()
        return websocket

    headers = {TIMEOUT_MS: "60000", RETRY: "1"}
    async with (
        serving(handler) as url,
        aiohttp.ClientSession() as session,
        session.ws_connect(url, headers=headers) as websocket,
    ):
        assert await websocket.receive_json() == {"deadline": False, "nested": False}


async def test_a_smaller_deadline_of_the_handlers_own_is_its_own_affair():
    async def handler(request):
        try:
            async with peerage.deadline(0):
                await asyncio.Event().wait()
        except peerage.DeadlineExceededError:
            return web.Response(text="handled")

    async with serving(handler) as url:
        assert await ask(url, Peerage_Timeout_Ms="60000") == (200, "handled")


class Chain:
    """Services a, b and c, each of which calls the next one."""

    def __init__(self, stack, registry, middle):
        self.stack, self.registry = stack, registry
        self.frameworks = {"b": middle}
        self.discovery = None
        self.session = None
        self.log = []
        self.hits = {"a": 0, "b": 0, "c": 0}

    async def serve(self, name, handler):
        async def handle(request):
            self.hits[name] += 1
            try:
                return await handler(request)
            # The answer of the next service, that the deadline has passed there, may come first.
            except (asyncio.CancelledError, peerage.DeadlineExceededError):
                self.log.append(name)
                raise

        discovery = await self.stack.enter_async_context(
            peerage.Discovery(self.registry, service_id=name, instance_id=f"{name}-{uuid4().hex}")
        )
        framework = self.frameworks.get(name, "aiohttp")
        server = frameworks.serving(framework, {"/": handle}, ("propagate",))
        url = await self.stack.enter_async_context(server)
        await discovery.advertise(web=[("127.0.0.1", int(url.rpartition(":")[2]))])

    def call(self, name):
        """Return a handler that answers what the service *name* answers."""

        async def handler(request):
            async with self.session.request(request.method, f"http://{name}.service_id.asab/") as response:
                if response.status != 200:
                    raise RefusedError(response.status)
                return await response.text()

        return handler

    async def open(self):
        self.discovery = await self.stack.enter_async_context(peerage.Discovery(self.registry))
        self.session = await self.stack.enter_async_context(self.discovery.session())
        return self


@pytest.fixture(params=FRAMEWORKS)
async def chain(request):
    """A chain whose middle service is of either framework, and the others of aiohttp."""
    async with AsyncExitStack() as stack:
        yield await Chain(stack, f"memory:{uuid4().hex}", request.param).open()


async def test_all_handlers_of_a_chain_are_cancelled_when_the_deadline_passes(virtual_clock, chain):
    async def hang(request):
        await asyncio.Event().wait()

    await chain.serve("c", hang)
    await chain.serve("b", chain.call("c"))
    await chain.serve("a", chain.call("b"))
    # Which is "for an answer", or "for another attempt" if the next service says first that it has passed.
    with pytest.raises(peerage.DeadlineExceededError, match=r"GET of service_id='a' was waiting for an"):
        async with peerage.deadline(1), chain.session.get("http://a.service_id.asab/"):
            pass
    await eventually(lambda: len(chain.log) == 3)
    assert sorted(chain.log) == ["a", "b", "c"]
    assert chain.hits == {"a": 1, "b": 1, "c": 1}


async def test_each_service_of_a_chain_gets_less_time_than_the_one_before(chain):
    seen = []

    def noting(handler):
        async def note(request):
            seen.append(int(request.headers[TIMEOUT_MS]))
            return await handler(request)

        return note

    async def answer(request):
        return "done"

    async def prolong(request):
        async with peerage.deadline(3600):
            return await chain.call("c")(request)

    await chain.serve("c", noting(answer))
    await chain.serve("b", noting(prolong))
    await chain.serve("a", noting(chain.call("b")))
    async with peerage.deadline(60), chain.session.get("http://a.service_id.asab/") as response:
        assert await response.text() == "done"
    assert 60_000 > seen[0] > seen[1] > seen[2] > 0


async def test_a_failure_at_the_end_of_a_chain_is_not_multiplied(chain):
    async def fail(request):
        raise RefusedError(503)

    for _ in range(2):
        await chain.serve("c", fail)
        await chain.serve("b", chain.call("c"))
        await chain.serve("a", chain.call("b"))
    count = 100
    for _ in range(count):
        async with chain.session.get("http://a.service_id.asab/") as response:
            assert response.status == 503
    assert chain.hits["c"] <= 1.3 * count


async def test_the_mark_of_a_retry_is_handed_on(chain):
    """What a service calls for a retry carries the mark as well, and isn't retried."""
    marks = []

    async def fail(request):
        marks.append(request.headers.get(RETRY))
        raise RefusedError(503)

    await chain.serve("c", fail)
    await chain.serve("c", fail)
    await chain.serve("b", chain.call("c"))
    await chain.serve("b", chain.call("c"))
    async with chain.session.get("http://b.service_id.asab/") as response:
        assert response.status == 503
    # Two attempts for the first request to b, and one for its retry.
    assert (chain.hits["b"], marks) == (2, [None, "1", "1"])
