"""The row ``HTTP endpoints of ApiService``: what they answer, and to whom."""

import json

import pytest
from tests.asab.api.programs import SERVICE, on
from tests.asab.both import both, ours

from peerage.asab.endpoints.hiding import shown

GET = """
async def get(app, path):
    await eventually(lambda: app.Web.Addresses)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{app.Web.Addresses[0][1]}") as session:
        async with session.get(path) as response:
            return response.status, response.content_type, await response.text()
"""


def test_manifest_and_changelog(zookeeper, tmp_path):
    """The files as they are; without them 404."""
    program = (
        SERVICE
        + GET
        + """
async def program(app):
    for path in ("/asab/v1/manifest", "/asab/v1/changelog"):
        status, kind, text = await get(app, path)
        say(status, kind, json.loads(text) if kind == "application/json" else text if status == 200 else "")
run(program, Service())
"""
    )
    environ = {**on(zookeeper), "SERVICE_ID": "x"}
    (tmp_path / "empty").mkdir()
    assert both(program, cwd=tmp_path / "empty", **environ).lines == ["404 text/plain "] * 2
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"version": "v1", "host": "builder"}))
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n")
    outcome = both(program, cwd=tmp_path, **environ)
    assert outcome.lines[:2] == [
        "200 application/json {'version': 'v1', 'host': 'builder'}",
        "200 text/markdown # Changes",
    ]


def test_a_change_log_that_is_not_utf8(tmp_path):
    """It is shown as well as can be."""
    (tmp_path / "CHANGELOG.md").write_bytes(b"# \xc4nderungen")
    outcome = ours(
        SERVICE
        + GET
        + """
async def program(app):
    say(await get(app, "/asab/v1/changelog"))
run(program, Service())
""",
        cwd=tmp_path,
        PEERAGE_REGISTRY="memory:",
    )
    assert outcome.lines == ["(200, 'text/markdown', '# \ufffdnderungen')"]


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("blue", "blue"),
        ("a@b.cz", "a@b.cz"),
        ("postgres://user:hu/s?h@x@db/x?a=b", "postgres://***@db/x?a=b"),
        ("zookeeper://us:hush@a:1,b:2/asab", "zookeeper://***@a:1,b:2/asab"),
        ("one\n//u:hush@a two\n//v:hush@b", "one\n//***@a two\n//***@b"),
        ("http://x/?Token=hush&n=1&api-key=hush", "http://x/?Token=***&n=1&api-key=***"),
        ("host=db password=hush user=me", "host=db password=*** user=me"),
        ("host=db password='hu sh' user=me", "host=db password=*** user=me"),
        ("Server=db;Pwd=hush;Port=1", "Server=db;Pwd=***;Port=1"),
        ("a: b\npassword: hush\nc: d", "a: b\npassword: ***\nc: d"),
        ("curl -H 'X: Bearer hush'", "curl -H 'X: Bearer ***'"),
        ('{"user": "me", "password": "hu\\"sh"}', '{"user": "me", "password": "***"}'),
        ('[{"keys": ["hush"], "n": [1]}, "//u:hush@x"]', '[{"keys": "***", "n": [1]}, "//***@x"]'),
        ('{"a": {"b": "password=hush"', '{"a": {"b": "password=***"'),
        ("-----BEGIN X KEY-----\nhush\nhush\n-----END X KEY-----", "-----BEGIN ***-----END X KEY-----"),
        ("-----BEGIN X KEY-----\nhush", "-----BEGIN ***"),
    ],
)
def test_what_is_hidden_of_a_value(value, seen):
    """Independently of the name of its option or variable."""
    assert shown("plain", value) == seen


@pytest.mark.parametrize(
    "name",
    ["MY_PASSWORD", "pwd", "ApiKey", "SENTRY_DSN", "jwt", "GITHUB_PAT", "DB_PW", "OTP", "pw1", "TOTP_SEED"],
)
def test_what_is_hidden_by_its_name(name):
    """The whole value of a variable or option of such a name is hidden."""
    assert shown(name, "hush") == "***"


@pytest.mark.parametrize("name", ["PATH", "PATTERN", "HTTPWORKERS", "SPWN"])
def test_what_only_resembles_a_secret_is_shown(name):
    """The short words PAT, PW and OTP are hidden as whole words only."""
    assert shown(name, "plain") == "plain"


#: Values of a configuration and an environment that are never shown.
SECRETS = {
    "passwords": {"smtp": "hush-1"},
    "mongo": {"Password": "hush-2", "uri": "mongodb://user:hush-3@db/x", "api_key": "hush-4"},
    "my_secrets": {"plain": "hush-5"},
    "auth": {"public_keys_url": "hush-6", "enabled": "hush-6"},
}
ENVIRON = {
    "MY_TOKEN": "hush-7",
    "AWS_SECRET_ACCESS_KEY": "hush-8",
    "DATABASE_URL": "postgres://user:hush-9@db/x",
    "SERVICE_ID": "x",
}


@pytest.mark.parametrize("endpoint", ["config", "environ"])
def test_config_and_environ_are_closed(endpoint):
    """As with the original, whose handlers are switched off."""
    program = (
        SERVICE
        + GET
        + f"""
async def program(app):
    say((await get(app, "/asab/v1/{endpoint}"))[0])
run(program, Service())
"""
    )
    assert ours(program, PEERAGE_REGISTRY="memory:", SERVICE_ID="x").lines == ["404"]


def test_closed_as_in_the_original(zookeeper):
    """The same status."""
    program = (
        SERVICE
        + GET
        + """
async def program(app):
    say([(await get(app, f"/asab/v1/{name}"))[0] for name in ("config", "environ", "nothing")])
run(program, Service())
"""
    )
    assert both(program, SERVICE_ID="x", **on(zookeeper)).lines == ["[404, 404, 404]"]


def test_opened_by_the_configuration():
    """[api] expose_config shows all callers everything but secrets."""
    outcome = ours(
        SERVICE
        + GET
        + f"""
asab.Config.add_defaults({{"api": {{"expose_config": "yes"}}, "mine": {{"colour": "blue"}}, **{SECRETS!r}}})
async def program(app):
    for name in ("config", "environ"):
        say((await get(app, f"/asab/v1/{{name}}"))[2])
run(program, Service())
""",
        PEERAGE_REGISTRY="memory:",
        **ENVIRON,
    )
    config, environ = map(json.loads, outcome.lines)
    assert config["mine"] == {"colour": "blue"}
    assert config["web"]["listen"] == "0.0.0.0 0"
    assert config["mongo"] == {"password": "***", "uri": "mongodb://***@db/x", "api_key": "***"}
    assert config["passwords"] == {"smtp": "***"}
    assert config["my_secrets"] == {"plain": "***"}
    assert environ["SERVICE_ID"] == "x"
    assert environ["MY_TOKEN"] == environ["AWS_SECRET_ACCESS_KEY"] == "***"
    assert environ["DATABASE_URL"] == "postgres://***@db/x"
    assert "hush" not in outcome.out


@pytest.mark.parametrize(
    ("authz", "statuses"),
    [("None", [401, 401]), ("Authorization(False)", [403, 403]), ("Authorization(True)", [200, 200])],
)
def test_for_superusers_where_there_is_authorization(authz, statuses):
    """With AuthService [api] expose_config has no effect; secrets stay hidden."""
    outcome = ours(
        SERVICE
        + GET
        + f"""
asab.Config.add_defaults({{"api": {{"expose_config": "yes"}}, **{SECRETS!r}}})
load("exceptions")
class Authorization:
    def __init__(self, superuser):
        self.superuser = superuser
    def require_superuser_access(self):
        if not self.superuser:
            raise asab.exceptions.AccessDeniedError()
class App(Service):
    def __init__(self):
        super().__init__()
        # Instead of an AuthService; handlers only see the Authorization of the request.
        asab.Service(self, "asab.AuthService")
        self.Web.WebApp.middlewares.append(self.authorize)
    @aiohttp.web.middleware
    async def authorize(self, request, handler):
        asab.contextvars.Authz.set({authz})
        return await handler(request)
async def program(app):
    answers = [await get(app, f"/asab/v1/{{name}}") for name in ("config", "environ")]
    say([status for status, *_ in answers], "hush" in str(answers))
run(program, App())
""",
        PEERAGE_REGISTRY="memory:",
        **ENVIRON,
    )
    assert outcome.lines == [f"{statuses} False"], outcome.log


def test_what_needs_no_token():
    """Manifest and change log are open to all callers, and no endpoint needs a tenant."""
    outcome = ours(
        SERVICE
        + """
app = Service()
for route in app.Web.WebApp.router.routes():
    if route.method == "GET":
        handler = route.handler
        marks = [getattr(handler, mark, False) for mark in ("NoAuth", "AllowNoTenant")]
        say(route.resource.canonical, *marks)
""",
        PEERAGE_REGISTRY="memory:",
    )
    assert outcome.lines == [
        "/asab/v1/manifest True True",
        "/asab/v1/changelog True True",
        "/asab/v1/config False True",
        "/asab/v1/environ False True",
    ]


def test_who_is_called_by_ids_of_its_own_answers(zookeeper):
    """A request by an id of update_discovery is for this service, whichever record brought it here."""
    outcome = ours(
        SERVICE
        + """
async def program(app):
    await record_of(app)
    app.Api.update_discovery({"shard": [7]})
    await eventually(lambda: app.Discovery.locate(shard=7))
    base = f"http://127.0.0.1:{app.Web.Addresses[0][1]}/asab/v1/manifest"
    async with app.Discovery.session() as session, aiohttp.ClientSession() as plain:
        async with session.get("http://7.shard.asab/asab/v1/manifest") as response:
            say(response.status)
        dialled = f"Dead.0000000001 127.0.0.1:{app.Web.Addresses[0][1]}"
        for host in ("7.shard.asab", "8.shard.asab", "x.service_id.asab", "y.service_id.asab"):
            async with plain.get(base, headers={"Host": host, "Peerage-Dialled": dialled}) as response:
                say(host, response.status)
run(program, Service())
""",
        SERVICE_ID="x",
        ASAB_HOSTNAME="127.0.0.1",
        **on(zookeeper),
    )
    assert outcome.lines == [
        "404",
        "7.shard.asab 404",
        "8.shard.asab 421",
        "x.service_id.asab 404",
        "y.service_id.asab 421",
    ], outcome.log
