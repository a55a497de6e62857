"""Authorization and the limit of requests, for WSGI applications."""

import json
import signal
import threading

import pytest
from flask import Flask
from tests.auth.support import READER, ROOT, STRANGER, jwk, jwks
from tests.integrations.wsgi.answering import answer
from tests.integrations.wsgi.programs import PRELOAD, gunicorn
from tests.web.programs import environ

import peerage
from peerage.calling.answers import OVERLOADED
from peerage.errors import AccessDeniedError
from peerage.integrations.wsgi import (
    Gradient2,
    authorize,
    caller,
    limit_concurrency,
    require,
    require_superuser,
)
from peerage.sync import Discovery
from peerage.testing import eventually

_GUARDED = """
from flask import Flask
from peerage.integrations.wsgi import authorize, caller, discovered, limit_concurrency, require
from peerage.sync import Discovery

discovery = Discovery(service_id="orders")
app = Flask(__name__)

@app.get("/orders")
@require("orders:read")
def orders():
    return {"for": caller().issuer}

@app.get("/health")
def health():
    return "well"

app.wsgi_app = authorize(limit_concurrency(app.wsgi_app), discovery, open_paths=["/health"])
app.wsgi_app = discovered(app.wsgi_app, discovery)
"""

flask = Flask("orders")


@flask.get("/who")
def who():
    return caller().subject


@flask.get("/reads")
@require("a:read")
def reads():
    return "read"


@flask.get("/writes")
@require("a:write")
def writes():
    return "written"


@flask.get("/rules")
@require_superuser
def rules():
    return "ruled"


@flask.get("/asks")
def asks():
    caller().require_resource_access("a:write")
    return "asked"


@flask.get("/fails")
def fails():
    raise LookupError("no such thing")


@flask.get("/health")
def health():
    return "alive"


@pytest.fixture
def discovery():
    with Discovery("memory:wsgi-authorization") as discovery:
        yield discovery


@pytest.fixture
def app(discovery, tmp_path):
    """The application as Flask makes it, whose users' tokens are verified by a file of keys."""
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(jwk()))
    return authorize(flask.wsgi_app, discovery, open_paths=["/health"], public_keys_file=keys, internal=False)


def ask(app, path, token):
    status, headers, body = answer(app, path, token and f"Bearer {token}")
    return int(status[:3]), dict(headers), body


def test_a_request_needs_a_valid_token_unless_its_path_is_open(app):
    for path in ("/who", "/reads", "/fails", "/nowhere"):
        for token in (None, STRANGER):
            status, headers, body = ask(app, path, token)
            assert (status, json.loads(body)["result"]) == (401, "NOT-AUTHORIZED")
            assert headers["WWW-Authenticate"] == 'Bearer realm="asab", error="invalid_token"'
    for token in (None, STRANGER, READER):
        assert ask(app, "/health", token)[::2] == (200, b"alive")


def test_a_view_knows_its_caller_and_what_it_may_do(app):
    """Flask answers exceptions by itself; a denial is 403 nevertheless, and another failure stays 500."""
    for token, statuses in (
        (READER, {"/reads": 200, "/writes": 403, "/rules": 403, "/asks": 403, "/fails": 500}),
        (ROOT, {"/reads": 200, "/writes": 200, "/rules": 200, "/asks": 200, "/fails": 500}),
    ):
        for path, expected in statuses.items():
            status, headers, body = ask(app, path, token)
            assert status == expected, path
            if status == 403:
                assert json.loads(body)["result"] == "ACCESS-DENIED"
                assert "insufficient_scope" in headers["WWW-Authenticate"]
    assert ask(app, "/who", READER)[2] == b"u1"
    with pytest.raises(AccessDeniedError):
        caller()


def test_a_plain_application_may_raise(discovery, tmp_path):
    """The exception itself arrives then; nothing is left for the next request of the thread."""

    def plain(environ, start_response):
        assert environ["peerage.principal"] is caller()
        caller().require_resource_access("a:write")
        raise LookupError("no such thing")

    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(jwk()))
    app = authorize(plain, discovery, public_keys_file=keys, internal=False)
    assert ask(app, "/", READER)[0] == 403
    with pytest.raises(LookupError):
        ask(app, "/", ROOT)
    with pytest.raises(AccessDeniedError):
        caller()


def test_without_keys_it_is_503(discovery, tmp_path):
    """Callers learn when to try again."""
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(jwk()))
    app = authorize(flask.wsgi_app, discovery, public_keys_file=keys, internal=False)
    keys.unlink()
    status, headers, _ = ask(app, "/who", READER)
    assert status == 503
    assert int(headers["Retry-After"]) >= 1


def test_requests_above_the_limit_are_refused():
    """A request counts until its response is sent, in whatever thread; a failure is no measure."""
    measured, begun, go_on = [], threading.Event(), threading.Event()

    class Limit(Gradient2):
        def done(self, now, seconds):
            measured.append(seconds is not None)
            super().done(now, seconds)

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/raises":
            raise LookupError("no such thing")
        status = "500 ERROR" if environ["PATH_INFO"] == "/fails" else "200 OK"
        start_response(status, [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/held":
            begun.set()
            go_on.wait()
        yield b"done"

    limit = Limit(least=1, initial=1)
    limited = limit_concurrency(app, limit)
    thread = threading.Thread(target=answer, args=(limited, "/held"))
    thread.start()
    begun.wait()
    try:
        for dialled, mark in (({}, "1"), ({"DIALLED": "Orders.1 127.0.0.1:80"}, "Orders.1 127.0.0.1:80")):
            status, headers, _ = answer(limited, **dialled)
            assert (status, dict(headers)[OVERLOADED]) == ("503 Service Unavailable", mark)
    finally:
        go_on.set()
        thread.join()
    assert answer(limited)[0] == "200 OK"
    assert answer(limited, "/fails")[0] == "500 ERROR"
    with pytest.raises(LookupError):
        answer(limited, "/raises")
    assert measured == [True, True, False, False]
    assert limit.under_way == 0


@pytest.mark.long
async def test_forked_workers_verify_the_tokens_of_the_cluster(tmp_path):
    """With keys that each fetches from the registry, although gunicorn has loaded the application before."""
    options = (*PRELOAD, "--workers", "2", "--worker-class", "gthread", "--threads", "4")
    url = "http://orders.service_id.asab"
    registry = environ(tmp_path, "")["PEERAGE_REGISTRY"]
    async with (
        gunicorn(_GUARDED, tmp_path, "orders-0", *options, SERVICE_ID="orders") as server,
        peerage.Discovery(registry, service_id="shop", instance_id="shop-1") as discovery,
        discovery.session(auth="internal") as authorized,
        discovery.session() as session,
    ):
        await eventually(lambda: discovery.directory.find((("service_id", "orders"),)), "the service")
        for _ in range(10):
            async with authorized.get(f"{url}/orders") as response:
                assert response.status == 200
                assert await response.json() == {"for": "http://shop-1.instance_id.asab"}
            for path, status in {"/orders": 401, "/health": 200}.items():
                async with session.get(f"{url}{path}") as response:
                    assert response.status == status
        server.signal(signal.SIGTERM)
        assert (await server.end())[0] == 0, server.log
