"""``Authz`` and the decorators, on both sides: all requests have the identity of a file."""

import json
import time

import pytest
from tests.asab.auth.small import SMALL
from tests.asab.both import both, ours

from peerage.auth import SUPERUSER

#: Mock mode needs neither keys nor servers, so the original can do it as well.
MOCK = SMALL.replace('{"public_keys_file": os.environ["TEST_KEYS"]}', '{"enabled": "mock"}')


@pytest.fixture
def mock(tmp_path):
    """Return the environment in which all requests have these claims."""

    def make(option: str = "mock_claims_path", **claims):
        now = int(time.time())
        path, config = tmp_path / "claims.json", tmp_path / "mock.conf"
        given = {"iat": now, "exp": now + 300, "sub": "u1", "iss": "http://auth"} | claims
        path.write_text(json.dumps({name: value for name, value in given.items() if value is not ...}))
        config.write_text(f"[auth]\nenabled=mock\n{option}={path}\n")
        return {"TEST_TOKENS": "{}", "ASAB_CONFIG": str(config)}

    return make


ASK = (
    MOCK
    + """
def ask(*questions, tenants=(None,)):
    async def handler(request):
        authz = asab.contextvars.Authz.get()
        for tenant in tenants:
            for question in questions:
                try:
                    with asab.contextvars.tenant_context(tenant):
                        say(question, eval(question))
                except Exception as error:
                    say(question, type(error).__name__)
        return aiohttp.web.Response()
    async def program(app, session):
        say(await status(session, "/ask"))
    small(program, lambda webapp: webapp.router.add_get("/ask", handler))
"""
)


def test_who(mock):
    """All resources that are named are required."""
    outcome = both(
        ASK
        + """
ask("authz.CredentialsId", "authz.Username", "authz.Email", "authz.Phone", "authz.SessionId", "authz.Issuer",
    "type(authz).__name__", "isinstance(authz, asab.web.auth.Authorization)", "authz.IssuedAt.tzinfo",
    "authz.Expiration - authz.IssuedAt", "authz.get_claim('more')", "authz.get_claim('none', 3)",
    "authz.user_info()['more']", "sorted(authz.user_info())", "authz.is_valid()", "authz.require_valid()")
""",
        **mock(
            preferred_username="joe", email="joe@example.com", phone="+1", sid="session", more={"deep": [1]}
        ),
    )
    assert outcome.lines[:4] == [
        *("authz.CredentialsId u1", "authz.Username joe", "authz.Email joe@example.com", "authz.Phone +1")
    ], outcome.log
    assert outcome.lines[-1] == "200"


@pytest.mark.parametrize(
    "resources",
    [
        ...,
        {},
        {"*": ["a", "b"]},
        {"*": [SUPERUSER]},
        {"*": ["a"], "acme": ["b"], "empty": []},
        {"acme": ["a", "b"]},
        {"*": [SUPERUSER], "acme": []},
    ],
)
def test_what_they_may_do(mock, resources):
    """With a tenant in context the resources of that tenant count; a superuser may do everything."""
    outcome = both(
        ASK
        + """
ask("authz.has_superuser_access()", "authz.require_superuser_access()",
    "authz.has_resource_access('a')", "authz.has_resource_access('a', 'b')", "authz.has_resource_access('c')",
    "authz.has_resource_access()", "authz.require_resource_access('a')", "authz.require_resource_access('c')",
    "authz.has_tenant_access()", "authz.require_tenant_access()",
    tenants=(None, "acme", "empty", "other", "*"))
""",
        **mock(resources=resources),
    )
    assert len(outcome.lines) == 51


def test_a_superuser_of_a_tenant_is_none(mock):
    """It has no effect there. In the original it is in the list of that tenant's resources."""
    outcome = ours(
        ASK
        + f"""
ask("authz.has_superuser_access()", "authz.has_resource_access('anything')",
    "authz.has_resource_access({SUPERUSER!r})", tenants=("acme",))
""",
        **mock(resources={"acme": [SUPERUSER, "a"]}),
    )
    assert [line.rpartition(" ")[2] for line in outcome.lines] == ["False", "False", "False", "200"]


def test_once_it_has_expired(mock):
    """Every question about rights is refused. Here with the leeway of tokens, there without."""
    outcome = both(
        ASK
        + """
ask("authz.is_valid()", "authz.require_valid()", "authz.has_superuser_access()",
    "authz.has_resource_access('a')", "authz.require_resource_access('a')", "authz.user_info()",
    "authz.get_claim('sub')", "authz.has_tenant_access()", "authz.CredentialsId", tenants=("acme",))
""",
        **mock(exp=int(time.time()) - 100, iat=int(time.time()) - 200, resources={"*": [SUPERUSER]}),
    )
    assert {line.rpartition(" ")[2] for line in outcome.lines} == {
        *("False", "NotAuthenticatedError", "u1", "200")
    }


def test_decorators(mock):
    """200 and 403."""
    outcome = both(
        MOCK
        + """
def routes(webapp):
    webapp.router.add_get("/a", require("a")(answer))
    webapp.router.add_get("/both", require("a", "b")(answer))
    webapp.router.add_get("/c", require("a", "c")(answer))
    webapp.router.add_get("/root", require_superuser(answer))
    @noauth
    async def free(request):
        say(asab.contextvars.Authz.get(None))
        return aiohttp.web.Response()
    webapp.router.add_get("/free", free)
async def program(app, session):
    for path in ("/a", "/both", "/c", "/root", "/free"):
        await statuses(session, path, None)
small(program, routes)
""",
        **mock(resources={"*": ["a", "b"]}),
    )
    assert outcome.lines == ["/a 200", "/both 200", "/c 403", "/root 403", "None", "/free 200"], outcome.log


def test_made_by_hand():
    """As tests of programs do."""
    outcome = both(
        """
load("web.auth", "contextvars", "exceptions")
now = int(time.time())
authz = asab.web.auth.Authorization({"iat": now, "exp": now + 60, "resources": {"*": ["a"]}})
asab.contextvars.Authz.set(authz)
asab.contextvars.Tenant.set(None)
say(authz.has_resource_access("a"), authz.has_superuser_access(), authz.CredentialsId)
for claims in ({"iat": now}, {"exp": now}, {}, None):
    try:
        asab.web.auth.Authorization(claims)
    except asab.exceptions.NotAuthenticatedError:
        say("refused")
async def handler(request):
    return "called"
say(asyncio.run(asab.web.auth.require("a")(handler)(None)))
try:
    asyncio.run(asab.web.auth.require("b")(handler)(None))
except asab.exceptions.AccessDeniedError:
    say("denied")
say(asab.web.auth.SUPERUSER_RESOURCE_ID)
"""
    )
    assert outcome.lines == [
        *("True False None", "refused", "refused", "refused", "refused", "called", "denied", SUPERUSER)
    ], outcome.log


@pytest.mark.parametrize("option", ["mock_claims_path", "mock_user_info_path", '"mock_claims_path"'])
def test_whose_claims(mock, option):
    """By either name; in quotes as well, which the original doesn't read."""
    run = ours if '"' in option else both
    assert run(ASK + 'ask("authz.CredentialsId")', **mock(option, sub="other")).lines[0].endswith(" other")


def test_the_claims_by_default():
    """Those of a superuser, as the original has them."""
    outcome = both(
        ASK
        + """
ask("authz.CredentialsId", "authz.Username", "authz.Email", "authz.has_superuser_access()",
    "authz.user_info()['resources']", "authz.Issuer", "authz.get_claim('tenants')")
""",
        TEST_TOKENS="{}",
    )
    assert outcome.lines[3] == "authz.has_superuser_access() True"
    assert "never use this where others can call" in outcome.log


def test_claims_without_times_are_valid_now(mock):
    """The original refuses to start."""
    outcome = ours(ASK + 'ask("authz.is_valid()")', **mock(iat=..., exp=...))
    assert outcome.lines == ["authz.is_valid() True", "200"], outcome.log


@pytest.mark.parametrize(
    "claims", [{"resources": ["a"]}, {"resources": {"*": "a"}}, {"exp": "soon"}, {"sub": 5}]
)
def test_claims_that_are_none(mock, claims):
    """A ValueError as it is made, which names the file."""
    outcome = ours(ASK + "ask()", **mock(**claims))
    assert outcome.code == 1
    assert "claims.json can't be used" in outcome.log
