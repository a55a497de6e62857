"""What a token allows its caller to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.auth import SUPERUSER, Principal
from peerage.errors import AccessDeniedError, TokenRefusedError

TIME = 1_800_000_000


def principal(resources, **claims):
    return Principal(
        {"iat": TIME, "exp": TIME + 10, "resources": resources, **claims}, clock=lambda: TIME, monotonic=float
    )


USER = principal({"*": ["a:read"], "acme": ["b:read", "b:write", SUPERUSER], "empty": []}, sub="u1")
ROOT = principal({"*": [SUPERUSER]})
NO_RIGHTS = principal(None)


@pytest.mark.parametrize(
    ("who", "resources", "tenant", "allowed"),
    [
        (USER, ["a:read"], None, True),
        (USER, ["b:read"], None, False),
        (USER, ["a:read"], "acme", False),
        (USER, ["b:read", "b:write"], "acme", True),
        (USER, ["b:read", "a:read"], "acme", False),
        (USER, ["b:read"], "empty", False),
        (USER, ["b:read"], "other", False),
        (USER, [SUPERUSER], "acme", False),
        (USER, [SUPERUSER], None, False),
        (ROOT, ["anything", SUPERUSER], None, True),
        (ROOT, ["anything", SUPERUSER], "acme", True),
        (NO_RIGHTS, ["a:read"], None, False),
        (NO_RIGHTS, ["a:read"], "acme", False),
    ],
)
def test_resources(who, resources, tenant, allowed):
    assert who.has_resource_access(*resources, tenant=tenant) is allowed
    if allowed:
        who.require_resource_access(*resources, tenant=tenant)
    else:
        with pytest.raises(AccessDeniedError):
            who.require_resource_access(*resources, tenant=tenant)


def test_a_superuser_of_a_tenant_isnt_a_superuser():
    assert not USER.has_superuser_access()
    assert ROOT.has_superuser_access()
    ROOT.require_superuser_access()
    with pytest.raises(AccessDeniedError):
        USER.require_superuser_access()


def test_tenants():
    assert [USER.has_tenant_access(name) for name in ("acme", "empty", "other")] == [True, True, False]
    assert ROOT.has_tenant_access("any")
    with pytest.raises(AccessDeniedError):
        USER.require_tenant_access("other")


def test_an_asterisk_isnt_a_tenant_and_a_resource_must_be_named():
    for ask in (USER.has_tenant_access, ROOT.has_tenant_access, ROOT.resources):
        with pytest.raises(ValueError, match="isn't a tenant"):
            ask("*")
    with pytest.raises(ValueError, match="isn't a tenant"):
        ROOT.has_resource_access("a", tenant="*")
    with pytest.raises(ValueError, match="at least one"):
        ROOT.has_resource_access()


def test_a_caller_has_no_rights_after_the_token_expired():
    now = [float(TIME)]
    who = Principal({"iat": TIME, "exp": TIME + 10, "resources": {"*": [SUPERUSER]}}, clock=lambda: now[0])
    now[0] = TIME + 69.9
    assert who.has_superuser_access()
    now[0] = TIME + 70.0
    for ask in (
        who.has_superuser_access,
        lambda: who.has_resource_access("a"),
        lambda: who.has_tenant_access("t"),
        who.claims,
        lambda: who.claim("exp"),
        who.resources,
    ):
        with pytest.raises(TokenRefusedError):
            ask()


def test_a_caller_is_immutable():
    claims = {"iat": TIME, "exp": TIME + 10, "list": [1], "resources": {"*": ["a"]}}
    who = Principal(claims, clock=lambda: TIME)
    who.claims()["resources"]["*"].append(SUPERUSER)
    who.claim("list").append(2)
    claims["sub"] = "root"
    assert not who.has_superuser_access()
    assert who.claim("list") == [1]
    assert who.claims()["resources"] == {"*": ["a"]}
    assert who.subject is None
    with pytest.raises(AttributeError):
        who.tenant = "x"


def test_identity():
    who = principal(None, sub="u", iss="i", username="n", email="e", phone="p", sid="s")
    assert (who.subject, who.issuer, who.username) == ("u", "i", "n")
    assert (who.email, who.phone, who.session_id) == ("e", "p", "s")
    assert principal(None, preferred_username="first", username="second").username == "first"
    assert principal(None, email=["x"]).email is None
    assert who.issued_at.isoformat() == "2027-01-15T08:00:00+00:00"
    assert "\x1b" not in repr(principal(None, sub="\x1b[31m"))


tenants = st.sampled_from(["*", "a", "b"])
lists = st.lists(st.sampled_from([SUPERUSER, "r", "s"]))


@given(
    resources=st.dictionaries(tenants, lists),
    asked=lists.filter(bool),
    tenant=st.sampled_from([None, "a", "b"]),
)
def test_the_rule(resources, asked, tenant):
    """An independent implementation of the documented rule gives the same answers."""
    who = principal(resources)
    everything = SUPERUSER in resources.get("*", [])
    listed = set(resources.get(tenant or "*", []))
    if tenant:
        listed.discard(SUPERUSER)
    assert who.has_resource_access(*asked, tenant=tenant) == (everything or set(asked) <= listed)
    if tenant:
        assert who.has_tenant_access(tenant) == (everything or tenant in resources)
