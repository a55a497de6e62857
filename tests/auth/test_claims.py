"""The checks of claims, with any JSON values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.auth import Principal, Reason, check_claims
from peerage.auth.claims import check_parties
from peerage.errors import TokenRefusedError

NOW, LEEWAY = 1_800_000_000.0, 60.0

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["exp", "iat", "nbf", "iss", "sub", "aud", "azp", "jti", "resources"])
times = st.floats(NOW - 200, NOW + 200) | st.integers(int(NOW) - 200, int(NOW) + 200)


def outcome(claims):
    """Return the reason why *claims* are refused, None if they are accepted."""
    try:
        check_claims(claims, NOW)
    except TokenRefusedError as error:
        return error.reason
    return None


@given(st.dictionaries(names, json_values))
def test_any_claims_are_refused_or_make_a_principal(claims):
    if outcome(claims) is None:
        principal = Principal(claims, clock=lambda: NOW)
        assert principal.claims() == claims
        assert isinstance(principal.has_superuser_access(), bool)


@given(exp=times, iat=times, nbf=st.none() | times)
def test_times_are_compared_within_the_leeway(exp, iat, nbf):
    claims = {"exp": exp, "iat": iat} | ({} if nbf is None else {"nbf": nbf})
    begins = max(iat, -math.inf if nbf is None else nbf)
    if exp + LEEWAY <= NOW:
        expected = Reason.EXPIRED
    else:
        expected = Reason.NOT_YET_VALID if begins - LEEWAY >= NOW else None
    assert outcome(claims) == expected


@given(
    name=st.sampled_from(["exp", "iat"]),
    value=json_values.filter(lambda value: type(value) not in (int, float)),
)
def test_a_time_is_a_number(name, value):
    assert outcome({"exp": NOW + 9, "iat": NOW} | {name: value}) == Reason.CLAIMS


@given(value=json_values)
def test_resources_are_lists_of_strings_by_tenant(value):
    right = value is None or (
        isinstance(value, dict)
        and all(
            isinstance(each, list) and all(isinstance(one, str) for one in each) for each in value.values()
        )
    )
    assert (outcome({"exp": NOW + 9, "iat": NOW, "resources": value}) is None) == right


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"issuers": {"http://auth"}, "audiences": {"http://me"}}, None),
        ({"audiences": {"x", "http://you"}}, None),
        ({"issuers": {"http://other"}}, Reason.ISSUER),
        ({"issuers": ()}, Reason.ISSUER),
        ({"audiences": {"http://other"}}, Reason.AUDIENCE),
        ({"audiences": ()}, Reason.AUDIENCE),
        ({}, None),
    ],
)
def test_issuer_and_audience(wanted, reason):
    claims = {"iss": "http://auth", "aud": ["http://me", "http://you"]}
    if reason is None:
        check_parties(claims, **wanted)
        return
    with pytest.raises(TokenRefusedError) as caught:
        check_parties(claims, **wanted)
    assert caught.value.reason == reason
    with pytest.raises(TokenRefusedError):
        check_parties({}, **wanted)
