"""Public keys are fetched when they are needed, one fetch at a time, and not for each bad token."""

import asyncio
import json

import pytest
from tests.auth.support import Random, Served, claims, jwk, jwks, pem, token
from tests.support import Clock

from peerage import deadline
from peerage.auth import FetchedKeys, Reason, Verifier, read_file
from peerage.auth.fetched_keys import KEYS_LIMIT, read_key_set
from peerage.calling.deadline import current_deadline
from peerage.errors import KeysUnavailableError, TokenRefusedError

OLD, NEW = jwk(name="old"), jwk(name="new")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def served():
    return Served(jwks(OLD))


@pytest.fixture
async def source(served, clock):
    source = FetchedKeys("http://auth/jwks", served, clock=clock, rng=Random(0.0))
    yield source
    await source.aclose()


@pytest.fixture
def verifier(source):
    return Verifier([source])


async def refreshed(source):
    """Fetch the keys, unless that was done a moment ago."""
    waiting = source.refresh(missing=True)
    if waiting is not None:
        await waiting


async def refused(verifier, text, reason):
    with pytest.raises(TokenRefusedError) as caught:
        await verifier.verify(text)
    assert caught.value.reason == reason


async def test_concurrent_verifications_share_one_fetch(verifier, served):
    served.gate = asyncio.Event()
    waiting = [asyncio.create_task(verifier.verify(token(name="old"))) for _ in range(50)]
    await served.begun(1)
    waiting[0].cancel()
    served.gate.set()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert {one.subject for one in done[1:]} == {"u1"}
    assert served.fetches == 1


async def test_a_fetch_is_not_bound_by_the_deadline_of_the_request_that_began_it(clock):
    """Or one caller with a tiny deadline would keep the keys from all others."""

    async def fetch():
        bound.append(current_deadline.get())
        return jwks(OLD)

    bound = []
    source = FetchedKeys("http://auth/jwks", fetch, clock=clock, rng=Random(0.0))
    async with deadline(60):
        await refreshed(source)
    assert bound == [None]
    await source.aclose()


async def test_a_thousand_bad_tokens_fetch_twice_at_most_and_good_ones_dont_wait(verifier, served, clock):
    """The fetch hangs meanwhile."""
    good = token(name="old")
    await verifier.verify(good)
    clock.now += 10
    served.gate = asyncio.Event()
    bad = [
        token(claims(sub=str(number)), name="stranger", kid=kid)
        for number, kid in enumerate([None, "old", "new", "unknown"] * 250)
    ]
    waiting = [asyncio.create_task(verifier.verify(text)) for text in bad[:500]]
    await served.begun(2)
    # Neither a token that was accepted before nor a new one of a known key waits for the fetch.
    assert (await verifier.verify(good)).subject == "u1"
    assert (await verifier.verify(token(claims(sub="u2"), name="old"))).subject == "u2"
    served.gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    clock.now += 1
    outcomes += await asyncio.gather(*map(verifier.verify, bad[500:]), return_exceptions=True)
    assert {type(one) for one in outcomes} == {TokenRefusedError}
    assert served.fetches == 2
    assert sum(verifier.refusals.counts.values()) == 1000


async def test_a_flood_of_bad_tokens_is_one_line_in_the_log(verifier, caplog):
    await verifier.verify(token(name="old"))
    for number in range(1000):
        await refused(verifier, token(claims(sub=str(number)), name="stranger", kid="old"), Reason.SIGNATURE)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert verifier.refusals.counts == {"signature": 1000}


async def test_a_new_key_is_found_when_its_first_token_comes(verifier, served, clock):
    await verifier.verify(token(name="old"))
    served.document = jwks(OLD, NEW)
    await refused(verifier, token(name="new"), Reason.UNKNOWN_KEY)
    clock.now += 10
    assert (await verifier.verify(token(name="new"))).subject == "u1"
    assert (await verifier.verify(token(name="old"))).subject == "u1"
    assert served.fetches == 2


@pytest.mark.parametrize("kid", [None, ..., "same"])
async def test_a_new_key_with_no_kid_or_a_reused_kid_is_found(verifier, served, clock, kid):
    served.document = jwks(jwk(name="old", kid="same"))
    await verifier.verify(token(name="old", kid=kid))
    served.document = jwks(jwk(name="new", kid="same"))
    clock.now += 10
    assert (await verifier.verify(token(name="new", kid=kid))).subject == "u1"
    await refused(verifier, token(claims(sub="u3"), name="old", kid=kid), Reason.SIGNATURE)


async def test_a_withdrawn_key_is_refused_after_the_next_fetch(verifier, served, clock):
    """A token that was accepted before is refused as well."""
    good = token(name="old")
    await verifier.verify(good)
    served.document = jwks(NEW)
    clock.now += 10
    await verifier.verify(token(name="new"))
    await refused(verifier, good, Reason.UNKNOWN_KEY)


async def test_old_keys_are_used_while_they_are_fetched_again(verifier, served, clock, source):
    good = token(name="old")
    await verifier.verify(good)
    served.gate, served.document = asyncio.Event(), jwks(NEW)
    clock.now += 301
    assert (await verifier.verify(good)).subject == "u1"
    await served.begun(2)
    assert (await verifier.verify(good)).subject == "u1"
    served.gate.set()
    await refreshed(source)
    await refused(verifier, good, Reason.UNKNOWN_KEY)


async def test_a_request_waits_for_the_fetch_of_very_old_keys(verifier, served, clock):
    good = token(name="old")
    await verifier.verify(good)
    served.document = jwks(NEW)
    clock.now += 901
    await refused(verifier, good, Reason.UNKNOWN_KEY)


async def test_keys_that_cant_be_fetched_stay_in_use_for_a_day(verifier, served, clock, caplog):
    await verifier.verify(token(name="old"))
    served.error = OSError("refused")
    while clock.now < 1000 + 23 * 3600:
        clock.now += 600
        assert (await verifier.verify(token(name="old"))).subject == "u1"
    assert caplog.text.count("can't be fetched") == 1
    clock.now += 3600
    with pytest.raises(KeysUnavailableError):
        await verifier.verify(token(name="old"))
    served.error = None
    clock.now += 100
    assert (await verifier.verify(token(name="old"))).subject == "u1"
    assert caplog.text.count("can be fetched again") == 1


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (b"", None),
        (b"<html>502 Bad Gateway</html>", None),
        (b"[]", None),
        (b'{"keys": {}}', None),
        (b"[" * 100_000, None),
        (b'{"keys": []}', None),
        (jwks(jwk(crv="P-192"), {"kty": "oct", "k": "c2VjcmV0"}), None),
        (b"-----BEGIN NONSENSE-----", None),
        (b"", OSError("refused")),
        (b"", ValueError()),
    ],
)
async def test_without_any_key_a_token_is_neither_accepted_nor_refused(
    verifier, served, clock, document, error
):
    """The error says when to try again."""
    served.document, served.error = document, error
    for _ in range(100):
        with pytest.raises(KeysUnavailableError, match="http://auth/jwks") as caught:
            await verifier.verify(token(name="old"))
        assert 1 <= caught.value.retry_after <= 15
    assert served.fetches == 1
    assert not verifier.refusals.counts
    served.document, served.error = jwks(OLD), None
    clock.now += caught.value.retry_after
    assert (await verifier.verify(token(name="old"))).subject == "u1"


async def test_a_malformed_token_is_refused_without_keys(verifier, served):
    served.error = OSError("refused")
    await refused(verifier, "nonsense", Reason.MALFORMED)
    await refused(verifier, None, Reason.MISSING)


async def test_a_fetch_that_hangs_ends_after_the_timeout(served):
    served.gate = asyncio.Event()
    source = FetchedKeys("http://slow", served, timeout=0.05)
    with pytest.raises(KeysUnavailableError, match=r"no answer within 0\.05 s"):
        await Verifier([source]).verify(token(name="old"))
    await source.aclose()


async def test_failed_fetches_are_repeated_at_growing_intervals(source, served, clock):
    served.error = OSError("refused")
    pauses = []
    for _ in range(7):
        await refreshed(source)
        pauses.append(source.unavailable().retry_after)
        clock.now += pauses[-1]
    assert pauses == [2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(("rng", "pause"), [(Random(0.0), 10), (Random(0.99999), 15)])
async def test_the_pause_between_two_fetches_is_lengthened_at_random(served, clock, rng, pause):
    source = FetchedKeys("http://auth/jwks", served, clock=clock, rng=rng)
    await refreshed(source)
    clock.now += pause - 0.1
    await refreshed(source)
    assert served.fetches == 1
    clock.now += 0.1
    await refreshed(source)
    assert served.fetches == 2


async def test_a_source_that_fails_doesnt_affect_the_others(clock):
    """Tokens of the others are verified without waiting."""
    dead, hanging, alive = Served(b""), Served(b""), Served(jwks(NEW))
    dead.error, hanging.gate = OSError("refused"), asyncio.Event()
    sources = [
        FetchedKeys("dead", dead, clock=clock),
        FetchedKeys("hanging", hanging, clock=clock),
        FetchedKeys("alive", alive, clock=clock, issuers={"http://auth"}, audiences={"me"}),
    ]
    await refreshed(sources[2])
    verifier = Verifier(sources)
    assert (await verifier.verify(token(claims(aud="me"), name="new"))).subject == "u1"
    await refused(verifier, token(claims(aud="you"), name="new"), Reason.AUDIENCE)
    await refused(verifier, token(claims(aud="me", iss="x"), name="new"), Reason.ISSUER)
    hanging.gate.set()
    with pytest.raises(KeysUnavailableError, match="dead"):
        await verifier.verify(token(name="old"))
    await verifier.aclose()
    await verifier.aclose()


async def test_closing_ends_a_fetch_that_hangs(source, verifier, served):
    served.gate = asyncio.Event()
    waiting = asyncio.create_task(verifier.verify(token(name="old")))
    await served.begun(1)
    await verifier.aclose()
    with pytest.raises(KeysUnavailableError):
        await waiting
    await refreshed(source)
    assert served.fetches == 1


@pytest.mark.parametrize("document", [pem(name="old"), json.dumps(OLD).encode(), jwks(OLD)])
async def test_a_file_of_keys(tmp_path, document):
    """In every format."""
    path = tmp_path / "keys"
    path.write_bytes(document)
    verifier = Verifier([FetchedKeys(str(path), read_file(path))])
    assert (await verifier.verify(token(name="old"))).subject == "u1"
    await verifier.aclose()
    missing = Verifier([FetchedKeys("gone", read_file(tmp_path / "gone"))])
    with pytest.raises(KeysUnavailableError, match="No such file"):
        await missing.verify(token(name="old"))
    await missing.aclose()


def test_a_bad_key_is_skipped():
    bad = {
        "a text": "key",
        "null": None,
        "no kty": jwk(kty=...),
        "kty a list": jwk(kty=["EC"]),
        "shared secret": {"kty": "oct", "k": "c2VjcmV0", "kid": "x"},
        "another curve": jwk(crv="P-192"),
        "crv of another key": jwk(crv="P-384"),
        "crv a list": jwk(crv=[]),
        "crv an object": jwk(crv={}),
        "not on the curve": jwk(y=jwk(name="other")["y"]),
        "no x": jwk(x=...),
        "x a number": jwk(x=5),
        "x no base64": jwk(x="%%%"),
        "for another use": jwk(use="tls"),
        "key_ops of encryption": jwk(key_ops=["encrypt"]),
        "key_ops a text": jwk(key_ops="verify"),
        "kid a number": jwk(kid=3),
        "alg of another kind": jwk(alg="RS256"),
        "alg of secrets": jwk("RS256", alg="HS256"),
        "alg a list": jwk(alg=["ES256"]),
        "a short RSA key": jwk("RS256", n="AQAB" * 40),
        "a huge RSA key": jwk("RS256", n="AQAB" * 4000),
        "no n": jwk("RS256", n=...),
        "e of one": jwk("RS256", e="AQ"),
        "a long e": jwk("RS256", e=jwk("RS256")["n"]),
        "e of 33 bits": jwk("RS256", e="AQAAAAE"),
    }
    for name, one in bad.items():
        keys, problems = read_key_set(jwks(one, OLD))
        assert [key.kid for key in keys] == ["old"], name
        assert len(problems) == 1, name
        assert "Key 0" in problems[0]
    keys, problems = read_key_set(jwks(*bad.values(), OLD))
    assert [key.kid for key in keys] == ["old"]
    assert 0 < len(problems) < 10


def test_encryption_keys_are_skipped_silently():
    keys, problems = read_key_set(jwks(jwk("RS256", "e", use="enc"), OLD, OLD))
    assert [key.kid for key in keys] == ["old"]
    assert not problems


def test_only_the_public_part_of_a_published_private_key_is_kept():
    ((key,), _) = read_key_set(jwks(jwk(name="old", private=True)))
    assert "d" not in key.as_dict()
    assert jwk(name="old", private=True)["d"] not in repr(key)
    ((rsa,), _) = read_key_set(jwks(jwk("RS256")))
    assert rsa.as_dict() == jwk("RS256")


def test_a_set_has_a_limited_number_of_keys():
    keys, problems = read_key_set(jwks(*(jwk(kid=str(number)) for number in range(KEYS_LIMIT + 5))))
    assert len(keys) == KEYS_LIMIT
    assert len(problems) == 1
