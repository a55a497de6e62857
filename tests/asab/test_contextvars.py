"""The rows ``asab.contextvars`` and ``asab.exceptions``."""

from tests.asab.both import both, ours


def test_contextvars():
    """What they are called, and what they have outside of a request."""
    outcome = both("""
    load("contextvars")
    from contextvars import ContextVar
    for name in ("Request", "Authz", "Tenant"):
        variable = getattr(asab.contextvars, name)
        say(isinstance(variable, ContextVar), variable.name, variable.get(None))
    """)
    assert outcome.lines[0] == "True Request None"


def test_tenant_context():
    """The tenant within; what was before it afterwards, also after an exception."""
    outcome = both("""
    load("contextvars")
    T = asab.contextvars.Tenant
    with asab.contextvars.tenant_context("outer") as given:
        say(given, T.get())
        try:
            with asab.contextvars.tenant_context(None):
                say(T.get())
                raise LookupError
        except LookupError:
            say(T.get())
    say(T.get("none"))
    """)
    assert outcome.lines == ["outer outer", "None", "outer", "none"]


def test_exceptions():
    """Responses of their status, raised without arguments; the rest is for JsonExceptionMiddleware."""
    outcome = both("""
    load("exceptions")
    import aiohttp.web
    E = asab.exceptions
    say(E.NotAuthenticatedError().status, isinstance(E.NotAuthenticatedError(), aiohttp.web.HTTPUnauthorized))
    say(E.AccessDeniedError().status, isinstance(E.AccessDeniedError(), aiohttp.web.HTTPForbidden))
    say(issubclass(E.ValidationError, Exception), E.ValidationError("a {}", 1).args)
    C = E.Conflict
    for error in (C("text", 1), C(key="a", value=2), C(key="a"), C(value="b"), C()):
        say(error.args, error.Key, error.Value)
    """)
    assert outcome.lines[:2] == ["401 True", "403 True"]


def test_the_challenge_of_an_exception():
    """WWW-Authenticate names the error (RFC 6750)."""
    outcome = ours("""
    for make in (asab.exceptions.NotAuthenticatedError, asab.exceptions.AccessDeniedError):
        error = make(headers={"X-More": "1"}, reason="Because")
        say(error.headers["WWW-Authenticate"], error.headers["X-More"], error.reason)
    """)
    assert outcome.lines == [
        'Bearer realm="asab", error="invalid_token" 1 Because',
        'Bearer realm="asab", error="insufficient_scope" 1 Because',
    ], outcome.log
