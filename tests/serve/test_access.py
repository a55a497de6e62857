"""What callers may read with which tokens, where tokens are needed."""

import time

import aiohttp
import pytest
from aiohttp import web
from tests.auth.support import ROOT, STRANGER, claims, jwk, jwks, token

from peerage import Discovery
from peerage.auth.claims import LEEWAY
from peerage.serve import View, create_app

#: A token that allows to read, one that allows other things, and one that allows it for a tenant only.
READER = token(claims(resources={"*": ["peerage:read"]}))
OTHER = token(claims(resources={"*": ["orders:read"]}))
TENANT = token(claims(resources={"*": [], "acme": ["peerage:read"]}))


@pytest.fixture
async def get(tmp_path):
    """Ask a server that needs tokens, mounted below a path of an application."""
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(jwk()))
    app = web.Application()
    async with Discovery("memory:") as discovery, View(discovery.membership) as view:
        verifier = discovery.auth.verifier((), keys, internal=False)
        app.add_subapp("/cluster/", create_app(view, verifier=verifier))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}/cluster/"
        async with aiohttp.ClientSession(base) as session:

            def ask(path, bearer=None):
                return session.get(path, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})

            yield ask
        await runner.cleanup()


@pytest.mark.parametrize(
    "path", ["", "v1/status", "v1/changes", "static/page.css", "metrics", "v1/openapi.json", "nowhere"]
)
async def test_a_token_that_allows_to_read_is_needed(get, path):
    for bearer, status in ((None, 401), (STRANGER, 401), (OTHER, 403), (TENANT, 403)):
        async with get(path, bearer) as response:
            assert response.status == status
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            if status == 401:
                assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    for bearer in (READER, ROOT):
        async with get(path, bearer) as response:
            assert response.status == (404 if path == "nowhere" else 200)


@pytest.mark.parametrize("path", ["healthz", "readyz"])
async def test_probes_need_none(get, path):
    async with get(path) as response:
        assert response.status == 200


async def test_changes_end_when_the_token_has_expired(get, caplog):
    """It isn't renewed by a connection that stays open; a browser connects again, with a new one."""
    for seconds in (1, 5, 25):
        now = int(time.time())
        ending = claims(exp=now - int(LEEWAY) + seconds, iat=now - 600, resources={"*": ["peerage:read"]})
        async with get("v1/changes", token(ending)) as response:
            if response.status == 401:
                continue  # the machine is so busy that it has expired already
            assert response.status == 200
            with pytest.raises(aiohttp.ClientError):
                await response.read()
            break
    async with get("v1/changes", token(ending)) as response:
        assert response.status == 401
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
