"""Accepted tokens are kept: for how long, for whom, and in how much memory."""

import json
import time
import tracemalloc
from contextlib import suppress

import pytest
from tests.auth.support import Served, assemble, claims, jwk, jwks, sign, token
from tests.support import Clock

from peerage.auth import FetchedKeys, Reason, Verifier
from peerage.errors import TokenRefusedError

NOW = 1_800_000_000.0

# About the largest that fit into a token and take the most memory for their size.
FAT = {
    "empty lists": [[]] * 3800,
    "small objects": [{"a": 1}] * 1400,
    "objects in objects": [{"a": {"b": {"c": {"d": {}}}}}] * 400,
    "short strings": [f"{number:x}" for number in range(1900)],
    "wide strings": ["\U0001f600"] * 700,
}


@pytest.fixture
def clock():
    return Clock(NOW)


@pytest.fixture
def monotonic():
    return Clock()


@pytest.fixture
def served():
    return Served(jwks(jwk()))


@pytest.fixture
async def verifier(served, clock, monotonic):
    verifier = Verifier([FetchedKeys("http://auth/jwks", served)], clock=clock, monotonic=monotonic)
    yield verifier
    await verifier.aclose()


def signed(**changes):
    """A token that is valid for two hours from NOW on."""
    contents = claims(**{"iat": NOW, "exp": NOW + 7200, **changes})
    return token(payload_bytes=json.dumps(contents, separators=(",", ":")).encode())


async def refused(verifier, text, reason):
    with pytest.raises(TokenRefusedError) as caught:
        await verifier.verify(text)
    assert caught.value.reason == reason


async def test_a_token_that_comes_again_is_verified_once(verifier, served):
    first, text = await verifier.verify(signed()), signed()
    assert await verifier.verify(text) is await verifier.verify(text)
    assert first.subject == "u1"
    assert served.fetches == 1


async def test_a_kept_token_expires(verifier, clock, monotonic):
    text = signed(exp=NOW + 10)
    await verifier.verify(text)
    clock.now = NOW + 69
    await verifier.verify(text)
    clock.now = NOW + 71
    await refused(verifier, text, Reason.EXPIRED)


async def test_a_kept_token_isnt_accepted_before_it_was_issued(verifier, clock):
    """After the clock was set back; a new token would be refused as well."""
    text, begins_later = signed(), signed(iat=NOW - 3600, nbf=NOW)
    await verifier.verify(text)
    await verifier.verify(begins_later)
    clock.now = NOW - 100
    await refused(verifier, text, Reason.NOT_YET_VALID)
    await refused(verifier, begins_later, Reason.NOT_YET_VALID)


async def test_a_caller_doesnt_live_longer_because_the_clock_was_set_back(verifier, clock, monotonic):
    principal = await verifier.verify(signed(exp=NOW + 10))
    clock.now, monotonic.now = NOW - 3600, monotonic.now + 71
    assert not principal.valid
    with pytest.raises(TokenRefusedError):
        principal.has_superuser_access()


async def test_expired_tokens_are_dropped(verifier, clock, monotonic):
    for number in range(20):
        await verifier.verify(signed(sub=str(number), exp=NOW + 10))
    assert len(verifier._cache) == 20
    clock.now, monotonic.now = NOW + 100, monotonic.now + 100
    await verifier.verify(signed())
    assert len(verifier._cache) == 1


@pytest.mark.parametrize("kind", FAT)
async def test_kept_tokens_have_a_bound_in_bytes(served, kind):
    """Whatever the claims are made of, the estimate isn't below the memory that they take."""
    bound = 2 * 1024 * 1024
    verifier = Verifier([FetchedKeys("http://auth/jwks", served)], clock=lambda: NOW, cache_bytes=bound)
    texts = [signed(sub=str(number), fat=FAT[kind]) for number in range(60)]
    assert all(len(text) > 10_000 for text in texts)
    await verifier.verify(signed())
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for text in texts:
            await verifier.verify(text)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < len(verifier._cache) < 60
    assert after - before <= bound
    await verifier.aclose()


async def test_resources_have_a_bound_in_bytes_as_well(served):
    bound = 2 * 1024 * 1024
    verifier = Verifier([FetchedKeys("http://auth/jwks", served)], clock=lambda: NOW, cache_bytes=bound)
    for resources in ({"*": FAT["short strings"]}, {name: [] for name in FAT["short strings"][:1200]}):
        texts = [signed(sub=str(number), resources=resources) for number in range(40)]
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for text in texts:
                await verifier.verify(text)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before <= bound
    await verifier.aclose()


async def test_a_full_cache_costs_no_look_at_all_of_it(served):
    """Otherwise a caller who fills it makes every request slow."""
    looks = []
    verifier = Verifier(
        [FetchedKeys("http://auth/jwks", served)],
        clock=lambda: NOW,
        monotonic=lambda: looks.append(1) or 0.0,
        cache_bytes=200_000,
    )
    for number in range(200):
        await verifier.verify(signed(sub=str(number)))
    kept = len(verifier._cache)
    assert 10 < kept < 200
    looks.clear()
    await verifier.verify(signed(sub="one more"))
    assert len(looks) < 20
    await verifier.aclose()


@pytest.mark.parametrize("depth", [40, 400, 4000])
async def test_claims_nested_too_deeply_are_refused(verifier, depth):
    """A caller that copies them would exceed Python's recursion limit."""
    body = f'{{"iat": {NOW}, "exp": {NOW + 60}, "deep": {"[" * depth}{"]" * depth}}}'
    await refused(verifier, token(payload_bytes=body.encode()), Reason.CLAIMS)


async def test_a_deeply_nested_header_is_no_error(verifier):
    """At every depth, because decoders of a header have different limits, and newer Pythons larger ones."""
    for depth in (*range(1, 1100, 3), 2000, 5000):
        deep = signed_with_header("[" * depth + "]" * depth)
        with suppress(TokenRefusedError):
            await verifier.verify(deep)
    assert {*verifier.refusals.counts} <= {Reason.MALFORMED}


def signed_with_header(extra):
    """A token whose header has *extra*, in JSON, in a field that nothing understands."""
    header = f'{{"alg": "ES256", "kid": "first", "extra": {extra}}}'
    return assemble(header.encode(), claims(iat=NOW, exp=NOW + 60), lambda data: sign("ES256", data, "first"))


async def test_a_token_of_real_time(served):
    verifier = Verifier([FetchedKeys("http://auth/jwks", served)])
    assert (await verifier.verify(token(claims(exp=time.time() + 5)))).valid
    await verifier.aclose()
