"""What a WSGI application inherits from a request, by the rules of PEP 3333."""

import asyncio
from contextlib import suppress
from wsgiref.validate import validator

import pytest
from flask import Flask
from tests.integrations.wsgi.answering import answer

from peerage import DeadlineExceededError
from peerage.calling.deadline import current_deadline
from peerage.calling.retried import is_nested
from peerage.deadlines import enforced
from peerage.integrations.wsgi import propagate
from peerage.timing import monotonic

LATE = [("Peerage-Timeout-Ms", "0")]


class Application:
    """Notes what it inherits when it is called, when its body is produced, and when that is closed."""

    def __init__(self):
        self.seen = []

    def note(self):
        limit = current_deadline.get()
        self.seen.append((None if limit is None else limit.seconds, is_nested()))

    def __call__(self, _, start_response):
        self.note()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return self

    def __iter__(self):
        self.note()
        yield b"done"

    def close(self):
        self.note()


def test_a_plain_request_is_passed_on():
    """Its body as well, which servers may send in a way of their own."""
    body = [b"done"]
    assert propagate(lambda *_: body)({}, None) is body


def test_the_deadline_and_the_mark_hold_until_the_end():
    """While the body is produced and closed too, and not after that; the least of several deadlines."""
    app = Application()
    assert answer(propagate(validator(app)), TIMEOUT_MS="7000, 5000")[2] == b"done"
    assert app.seen == [(5, False)] * 3
    app = Application()
    assert answer(propagate(app), RETRY="1", TIMEOUT_MS="nonsense")[0] == "200 OK"
    assert app.seen == [(None, True)] * 3
    assert current_deadline.get() is None
    assert not is_nested()


def test_what_is_too_late_isnt_begun():
    """The caller learns that its deadline has passed."""
    app = Application()
    status, headers, body = answer(propagate(app), TIMEOUT_MS="0")
    assert (status, app.seen) == ("504 Gateway Timeout", [])
    assert set(LATE) <= set(headers)
    assert dict(headers)["Content-Length"] == str(len(body))


def call():
    """Call another service, which doesn't answer before the deadline of the request."""

    async def wait():
        async with enforced(current_deadline.get()):
            await asyncio.Event().wait()

    asyncio.run(wait())


def framework(environ, start_response):
    """Answer 500 when the exception is handled already, as frameworks do."""
    with suppress(DeadlineExceededError):
        call()
    start_response("500 INTERNAL SERVER ERROR", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"error"]


def generator(environ, start_response):
    """Begin only when the body is wanted."""
    yield from framework(environ, start_response)


def raising(environ, start_response):
    call()


def raising_once_begun(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    call()


def raising_later(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        call()
    except DeadlineExceededError as error:
        start_response(
            "500 ERROR", [("Content-Type", "text/plain")], (type(error), error, error.__traceback__)
        )
    return [b"error"]


def flask(view):
    app = Flask("orders")
    app.get("/")(view)
    return app.wsgi_app


@pytest.mark.parametrize(
    "app", [framework, generator, raising, raising_once_begun, raising_later, flask(call)]
)
@pytest.mark.usefixtures("virtual_clock")
def test_what_fails_because_it_is_too_late(app):
    """Is answered as too late, however the application reports it."""
    status, headers, body = answer(propagate(app), TIMEOUT_MS="60000")
    assert status == "504 Gateway Timeout"
    assert set(LATE) <= set(headers)
    assert b"deadline" in body
    assert current_deadline.get() is None


@pytest.mark.usefixtures("virtual_clock")
def test_what_fails_for_another_reason_after_the_deadline_isnt_hidden():
    """No call was given up, so the failure is one of the application."""

    def view():
        asyncio.run(asyncio.sleep(61))
        assert not current_deadline.get().leaves_time(monotonic())
        raise LookupError("no such thing")

    assert answer(propagate(flask(view)), TIMEOUT_MS="60000")[0] == "500 INTERNAL SERVER ERROR"
    with pytest.raises(LookupError):
        answer(propagate(lambda *_: view()), TIMEOUT_MS="60000")
    assert current_deadline.get() is None


def test_other_failures_are_the_applications():
    """An error in time, and an answer of 500."""

    def fails(*_):
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        answer(propagate(fails), TIMEOUT_MS="60000")
    assert current_deadline.get() is None

    def error(_, start_response):
        start_response("500 ERROR", [("Content-Type", "text/plain")])
        return [b"error"]

    assert answer(propagate(error), TIMEOUT_MS="60000")[::2] == ("500 ERROR", b"error")
