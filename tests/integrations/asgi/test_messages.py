"""The middlewares and the messages of ASGI, without a server: what is unusual, and what is malformed."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage import DeadlineExceededError
from peerage.calling.deadline import current_deadline
from peerage.deadlines import enforced
from peerage.integrations.asgi import (
    Gradient2,
    limit_concurrency,
    propagate,
    refuse_misdirected,
    report_load,
)
from peerage.timing import monotonic

DEADLINE = (b"peerage-timeout-ms", b"60000")


class Orders:
    def own_ids(self):
        return {("service_id", "orders")}

    def own_records(self):
        return set()


def all_around(app, limit=None):
    limited = limit_concurrency(report_load(app), limit)
    return refuse_misdirected(propagate(limited), Orders())


async def answer(app, *headers, **more):
    """Return the messages that *app* sends for a request."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [*headers], **more}
    await app(scope, None, send)
    return sent


async def plain(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"plain"})


async def test_the_lifespan_passes_through():
    seen = []

    async def app(scope, receive, _send):
        seen.append((scope["type"], await receive()))

    async def receive():
        return {"type": "lifespan.startup"}

    await all_around(app)({"type": "lifespan"}, receive, None)
    assert seen == [("lifespan", {"type": "lifespan.startup"})]


@pytest.mark.parametrize(
    ("messages", "complete"),
    [
        ([{"type": "http.response.body"}], True),
        ([{"type": "http.response.body", "more_body": True}], False),
        ([{"type": "http.response.body", "more_body": True}, {"type": "http.response.body"}], True),
        ([{"type": "http.response.pathsend", "path": "/etc/hosts"}], True),
        ([{"type": "http.response.zerocopysend", "file": 1}], True),
        ([{"type": "http.response.zerocopysend", "file": 1, "more_body": True}], False),
    ],
)
@pytest.mark.parametrize("trailers", [False, True])
async def test_a_request_is_done_when_its_response_is_complete(messages, complete, trailers):
    """Before the application returns, so that what it does afterwards neither counts nor is bound."""
    limit, done = Gradient2(), []

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": trailers})
        for message in messages:
            await send(message)
        note()
        if trailers:
            await send({"type": "http.response.trailers", "headers": [], "more_trailers": True})
            note()
            await send({"type": "http.response.trailers", "headers": []})
            note()

    def note():
        free = current_deadline.get().left(monotonic()) == float("inf")
        assert free == (limit.under_way == 0)
        done.append(free)

    await answer(all_around(app, limit), DEADLINE)
    assert done == ([False, False, True] if trailers else [complete])
    assert limit.under_way == 0


@pytest.mark.usefixtures("virtual_clock")
async def test_what_runs_after_the_response_isnt_cancelled_when_the_deadline_passes():
    done = []

    async def app(scope, receive, send):
        limit = current_deadline.get()
        ends = limit.ends
        await plain(scope, receive, send)
        await asyncio.sleep(ends - monotonic() + 0.1)
        done.append(limit.ends)

    await answer(propagate(app), (b"peerage-timeout-ms", b"400"))
    assert done == [float("inf")]


@pytest.mark.parametrize(("call", "status"), [(True, 504), (False, 500)])
@pytest.mark.usefixtures("virtual_clock")
async def test_a_failure_after_the_deadline_is_504_if_a_call_was_given_up(call, status):
    """Also if the framework has handled the exception when it answers; as for WSGI."""

    async def app(_scope, _receive, send):
        with suppress(DeadlineExceededError):
            if call:
                async with enforced(current_deadline.get()):
                    await asyncio.Event().wait()
            await asyncio.sleep(61)
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"error"})

    sent = await answer(propagate(app, only_safe=True), DEADLINE, method="POST")
    assert sent[0]["status"] == status
    assert (sent[1]["body"] == b"error") == (status == 500)


@pytest.mark.usefixtures("virtual_clock")
async def test_an_exception_of_a_call_that_was_given_up_is_504():
    """Of a request that isn't cancelled, as well; and without time left it isn't begun."""
    begun = []

    async def app(_scope, _receive, _send):
        begun.append(True)
        async with enforced(current_deadline.get()):
            await asyncio.Event().wait()

    for timeout in (b"60000", b"0"):
        for method in ("GET", "POST"):
            headers = (b"peerage-timeout-ms", timeout)
            sent = await answer(propagate(app, only_safe=True), headers, method=method)
            assert sent[0]["status"] == 504
    assert len(begun) == 2


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_a_request_is_done_however_the_application_ends(error):
    limit = Gradient2(least=1, initial=1)

    async def app(_scope, _receive, _send):
        raise error

    around = all_around(app, limit)
    for _ in range(3):
        with pytest.raises(error):
            await answer(around, DEADLINE)
        assert limit.under_way == 0


NAMES = st.sampled_from([b"peerage-timeout-ms", b"peerage-retry", b"peerage-dialled", b"host"])


@given(headers=st.lists(st.tuples(NAMES, st.binary(max_size=40)), max_size=8), server=st.none() | st.just(()))
def test_malformed_headers_are_no_exception(headers, server):
    """A request with them is answered by the application, or given up because its time is over."""
    sent = asyncio.run(answer(all_around(plain), *headers, server=server))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] in {200, 504}
