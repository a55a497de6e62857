"""The documented program with authorization, and a fake SeaCat Auth that it finds by its name."""

import asyncio
import time

from tests.asab.auth.programs import READER, ROOT, SERVICE, asked, bearer, named, seacat
from tests.auth.support import claims, jwk, token

from peerage.testing import eventually

#: Keys may be fetched again after a moment, not after ten seconds.
IMPATIENT = """
importlib.import_module("peerage.auth.fetched_keys").COOL_DOWN = 0.2
Service().run()
"""


async def statuses(service, *tokens):
    """An unknown key has them fetched."""
    return [await service.status("/read", each) for each in tokens]


async def test_good_none_and_wrong(environ, config):
    """The server is found by its name; a refusal has its kind, and never its reason."""
    async with (
        seacat(environ),
        asked(SERVICE + "Service().run()", named(environ, "orders-1"), config=config) as service,
    ):
        assert await service.get("/read", READER) == (200, "read")
        assert await service.get("/closed", READER) == (200, {"who": "u1", "by": "http://auth"})
        assert await service.get("/write", READER) == (
            403,
            {"result": "ACCESS-DENIED", "message": "The token doesn't allow this."},
        )
        assert [await service.status(path, ROOT) for path in ("/read", "/write", "/root")] == [200] * 3
        assert await service.status("/root", READER) == 403
        assert await service.status("/open") == 200
        # What ApiService adds: settings are for superusers, whatever [api] expose_config says.
        for path in ("/asab/v1/config", "/asab/v1/environ"):
            assert [await service.status(path, each) for each in (None, READER, ROOT)] == [401, 403, 200]
        assert await service.status("/asab/v1/manifest") == 404
        refused = {"result": "NOT-AUTHORIZED", "message": "A valid token is needed."}
        expired = token(claims(exp=int(time.time()) - 61))
        for bad in (None, "nonsense", token(name="stranger"), expired):
            assert await service.get("/read", bad) == (401, refused)
        for path, sent, error in (("/read", None, "invalid_token"), ("/write", READER, "insufficient_scope")):
            headers = bearer(sent) if sent else {}
            async with service.session.get(path, headers=headers) as response:
                assert response.headers["WWW-Authenticate"] == f'Bearer realm="asab", error="{error}"'
                assert response.content_type == "application/json"
    assert READER not in service.running.log


async def test_a_registry_open_to_all_writers_is_reported_at_the_start(environ, config):
    """The warning comes with a ZooKeeper without access lists, and not with the registry of one machine."""
    async with asked(SERVICE + "Service().run()", named(environ, "orders-1"), config=config) as service:
        warnings = [line for line in service.running.log.splitlines() if "Anyone who can write" in line]
        if "TEST_SERVERS" in environ:
            (line,) = warnings
            assert "impersonate seacat-auth.service_id.asab" in line
            assert "WARNING" in line
        else:
            assert not warnings


async def test_keys_are_rotated_and_the_server_is_killed(environ, config):
    """Good again without a restart; what was withdrawn is refused; known keys outlive their server."""
    second, third = token(name="second"), token(name="third")
    async with (
        seacat(environ) as auth,
        asked(SERVICE + IMPATIENT, named(environ, "orders-1"), config=config) as service,
    ):
        assert await service.status("/read", READER) == 200
        assert await service.status("/read", second) == 401
        await auth.publish(jwk(), jwk(name="second"))
        await eventually(lambda: service.status("/read", second), wanted=lambda found: found == 200)
        assert await service.status("/read", READER) == 200
        await auth.publish(jwk(name="second"))
        await eventually(lambda: statuses(service, third, READER), wanted=lambda found: found == [401, 401])
        assert await service.status("/read", second) == 200

        await auth.running.kill()
        assert await service.status("/read", second) == 200
        assert await service.status("/read", token(claims(sub="new"), name="second")) == 200
        assert await service.status("/read", third) == 401


async def test_no_keys_yet(environ, config):
    """Without keys a token gets 503 and Retry-After, not 401, until the server starts."""
    async with asked(SERVICE + IMPATIENT, named(environ, "orders-1"), config=config) as service:
        assert await service.status("/open") == 200
        async with service.session.get("/read", headers=bearer(READER)) as response:
            assert response.status == 503, service.running.log
            assert int(response.headers["Retry-After"]) >= 1
            assert (await response.json())["result"] == "ERROR"
        assert await service.status("/read") == 401
        async with seacat(environ):
            await eventually(lambda: service.status("/read", READER), wanted=lambda found: found == 200)


async def test_a_flood_of_bad_tokens(embedded, config):
    """A thousand at once cost two fetches of the keys at most, and good tokens are accepted meanwhile."""
    bad = [token(claims(jti=str(number)), name="stranger") for number in range(500)]
    bad += [token(claims(jti=str(number)), name="stranger", kid="first") for number in range(500)]
    async with (
        seacat(embedded) as auth,
        asked(SERVICE + "Service().run()", named(embedded, "orders-1"), config=config) as service,
    ):
        assert await service.status("/read", READER) == 200
        before = len(await auth.fetches())
        answers = await asyncio.gather(
            *(service.status("/read", each) for each in bad),
            *(service.status("/read", token(claims(jti=f"good {number}"))) for number in range(20)),
        )
        assert answers == [401] * 1000 + [200] * 20
        assert len(await auth.fetches()) - before <= 2
    # Nor are they a thousand lines.
    assert service.running.log.count("A request was refused") <= 4
