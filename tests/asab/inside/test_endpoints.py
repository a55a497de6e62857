"""The HTTP endpoints inside the real framework: those of the original's ApiService."""

import asyncio
import json

import pytest
from tests.asab.inside.programs import ORIGINAL, OURS, guest, named
from tests.asab.zookeeper.programs import on

from peerage.calling.misdirected import DIALLED, MARK, dialled_header
from peerage.testing.waiting import PATIENCE

PATHS = (
    *("/doc", "/oauth2-redirect.html", "/asab/v1/openapi"),
    *("/asab/v1/logs", "/asab/v1/manifest", "/asab/v1/changelog"),
    *("/asab/v1/metrics", "/asab/v1/metrics.json", "/asab/v1/watch_metrics"),
    *("/asab/v1/config", "/asab/v1/environ", "/asab/v1/none"),
)

#: A user without rights, and one who may do anything: claims of asab's own mock.
MOCK = """
asab.Config.add_defaults({"auth": {"enabled": "mock", "mock_claims_path": os.environ["TEST_CLAIMS"]}})
Guest().run()
"""


@pytest.fixture
def described(tmp_path) -> dict[str, str]:
    """A configuration with a manifest and a change log."""
    (tmp_path / "MANIFEST.json").write_text('{"version": "v1", "created_at": "now"}')
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n")
    (tmp_path / "my.conf").write_text(
        "[general]\nmanifest=$THIS_DIR/MANIFEST.json\nchangelog=$THIS_DIR/CHANGELOG.md\n"
        "[mine]\npassword=wonderland\nmy_key=sesame\nshown=yes\n"
    )
    return {"ASAB_CONFIG": str(tmp_path / "my.conf")}


async def answers(inside, zookeeper, api: str, program: str, environ: dict[str, str]) -> dict[str, int]:
    async with guest(inside, named(on(zookeeper), "my-1", api, **environ), program) as one:
        return {path: await one.status(path) for path in PATHS}


@pytest.mark.parametrize("who", ["anonymous", "a superuser", "a user"])
async def test_as_with_the_original(inside, zookeeper, described, tmp_path, who):
    """The status of each is the same; without authorization asab answers 500 to requests for logs."""
    program, environ = "Guest().run()", described
    if who != "anonymous":
        claims = tmp_path / "claims.json"
        resources = {"*": ["authz:superuser"]} if who == "a superuser" else {"*": ["nothing"]}
        claims.write_text(
            json.dumps({"sub": "me", "iss": "me", "iat": 1, "exp": 9e9, "resources": resources})
        )
        program, environ = MOCK, {**described, "TEST_AUTH": "1", "TEST_CLAIMS": str(claims)}
    original, ours = await asyncio.gather(
        *(answers(inside, zookeeper, api, program, environ) for api in (ORIGINAL, OURS))
    )
    settings = {path: ours.pop(path) for path in ("/asab/v1/config", "/asab/v1/environ")}
    # asab has switched them off; here they are for superusers only.
    assert [original.pop(path) for path in settings] == [404, 404]
    assert set(settings.values()) == {{"anonymous": 404, "a superuser": 200, "a user": 403}[who]}
    assert ours == original
    assert ours["/doc"] == ours["/asab/v1/openapi"] == ours["/asab/v1/manifest"] == 200
    assert ours["/asab/v1/metrics"] == 200
    assert (ours["/asab/v1/logs"] == 200) == (who == "a superuser")


async def test_settings(inside, zookeeper, described):
    """Of the framework's own configuration, secrets hidden, where that is asked for."""
    program = 'asab.Config.add_defaults({"api": {"expose_config": "yes"}})\nGuest().run()'
    async with guest(inside, named(on(zookeeper), "my-1", **described), program) as one:
        config = await one.get("/asab/v1/config")
        assert config["mine"] == {"password": "***", "my_key": "***", "shown": "yes"}
        assert config["zookeeper"]["servers"] == zookeeper.address
        assert (await one.get("/asab/v1/environ"))["INSTANCE_ID"] == "my-1"
        assert await one.get("/asab/v1/manifest") == {"version": "v1", "created_at": "now"}


async def test_documentation_has_the_routes(inside, zookeeper, described):
    """The program's and ours, as with the original."""
    texts = {}
    for api in (ORIGINAL, OURS):
        async with (
            guest(inside, named(on(zookeeper), "my-1", api, **described)) as one,
            one.session.get("/asab/v1/openapi") as response,
        ):
            texts[api] = {
                line.strip() for line in (await response.text()).splitlines() if line.startswith("  /")
            }
    assert texts[OURS] - texts[ORIGINAL] == {"/asab/v1/config:", "/asab/v1/environ:"}
    assert texts[ORIGINAL] - texts[OURS] == set()
    assert "/who:" in texts[OURS]


async def test_the_log_is_followed(inside, zookeeper, tmp_path):
    """Over a WebSocket, also what another thread logs, for which the original's handler raises there."""
    claims = tmp_path / "claims.json"
    claims.write_text(
        json.dumps({"sub": "me", "iss": "me", "iat": 1, "exp": 9e9, "resources": {"*": ["authz:superuser"]}})
    )
    program = """
async def log(request):
    def write():
        try:
            logging.getLogger("thread").warning("from a thread")
            done.append("done")
        except BaseException as error:
            done.append(repr(error))
    done = []
    await asyncio.to_thread(write)
    return aiohttp.web.json_response(done)
async def line(request):
    logging.getLogger("loop").warning("a line")
    return aiohttp.web.json_response(None)
log, line = asab.web.auth.noauth(log), asab.web.auth.noauth(line)
asab.Config.add_defaults({"auth": {"enabled": "mock", "mock_claims_path": os.environ["TEST_CLAIMS"]}})
app = Guest()
app.Web.WebApp.router.add_get("/log", log)
app.Web.WebApp.router.add_get("/line", line)
app.run()
"""
    for api, done in ((ORIGINAL, "RuntimeError"), (OURS, "done")):
        environ = named(on(zookeeper), "my-1", api, TEST_AUTH="1", TEST_CLAIMS=str(claims))
        async with guest(inside, environ, program) as one:
            # Before, the original stands still for ever if kazoo's thread has something to log.
            await one.found(instance_id="my-1")
            async with one.session.ws_connect("/asab/v1/logws") as socket, asyncio.timeout(PATIENCE):
                # First come the eleven lines that it has kept, only then those that are new.
                for _ in range(15):
                    assert await one.get("/line") is None
                    await socket.receive_json()
                assert (await one.get("/log"))[0].startswith(done), one.running.log
                while api == OURS and (await socket.receive_json()).get("M") != "from a thread":
                    pass


async def test_misdirected_requests_are_refused(inside, zookeeper):
    """Only those of peerage's own clients that dialled this port by the record of another process."""
    async with guest(inside, named(on(zookeeper), "my-1", TEST_AUTH="1")) as one:
        await one.update_discovery({"shard": ["1"]})
        port = one.session._base_url.port
        dialled = {DIALLED: dialled_header("Dead.0000000001", "127.0.0.1", port)}
        proxied = {DIALLED: dialled_header("Dead.0000000001", "127.0.0.2", port)}
        for host, headers, status in (
            ("other.service_id.asab", dialled, 421),
            ("my-2.instance_id.asab", dialled, 421),
            ("2.shard.asab", dialled, 421),
            ("my-1.instance_id.asab", dialled, 200),
            ("1.shard.asab", dialled, 200),
            ("example.org", dialled, 200),
            ("other.service_id.asab", {}, 200),
            ("other.service_id.asab", proxied, 200),
        ):
            async with one.session.get("/who", headers={"Host": host, **headers}) as response:
                assert (response.status, host) == (status, host)
                assert (MARK in response.headers) == (status == 421)
