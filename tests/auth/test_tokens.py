"""Which tokens are accepted, and why the others are not: a table."""

import json
import subprocess
import sys
import time

import pytest
from tests.auth.support import LARGEST, Served, assemble, b64, claims, hs256, jwk, jwks, pem, sign, token

from peerage.auth import FetchedKeys, Reason, Verifier
from peerage.errors import TokenRefusedError

NOW = int(time.time())

PUBLISHED = jwks(
    jwk("ES256"),
    jwk("ES384", "ec384"),
    jwk("ES512", "ec521"),
    jwk("RS256", "rsa"),
    jwk("RS256", LARGEST),
    jwk("RS256", "only-rs512", alg="RS512"),
    jwk("ES256", "nameless", kid=...),
)

GOOD = {
    "ES256": token(),
    "ES384": token(alg="ES384", name="ec384"),
    "ES512": token(alg="ES512", name="ec521"),
    **{alg: token(alg=alg, name="rsa") for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")},
    "a key of 8192 bits": token(alg="PS512", name=LARGEST),
    "the key's own algorithm": token(alg="RS512", name="only-rs512"),
    "null kid": token(kid=None),
    "no kid": token(kid=...),
    "no kid, of a key without one": token(name="nameless", kid=...),
    "a kid, of a key without one": token(name="nameless", kid="whatever"),
    "no typ": token(typ=...),
    "unknown header": token(ver="3"),
    "jku, which is ignored": token(jku="https://evil.example/jwks.json"),
    "nbf in the past": token(claims(nbf=NOW - 10)),
    "nbf now, in fractions": token(claims(nbf=time.time())),
    "exp in fractions": token(claims(exp=time.time() + 9.5)),
    "expired within the leeway": token(claims(exp=NOW - 30)),
    "issued in the future within the leeway": token(claims(iat=NOW + 30)),
    "no resources": token(claims(resources=...)),
    "null resources": token(claims(resources=None)),
    "several audiences": token(claims(aud=["a", "b"])),
    "unknown claims": token(claims(tenants=["a"], nested={"a": [1, {"b": None}]})),
    "old but alive": token(claims(iat=NOW - 10**6)),
}

OTHER = sign("ES256", b"something else")
GOOD_HEAD, GOOD_BODY, GOOD_SIGNATURE = token().split(".")

BAD = {
    "nothing": ("", Reason.MISSING),
    "None": (None, Reason.MISSING),
    "a word": ("secret", Reason.MALFORMED),
    "two parts": (f"{GOOD_HEAD}.{GOOD_BODY}", Reason.MALFORMED),
    "four parts": (f"{token()}.x", Reason.MALFORMED),
    "JWE": (b64(b'{"alg":"RSA-OAEP","enc":"A256GCM"}') + ".a.b.c.d", Reason.ENCRYPTED),
    "huge": (token(claims(x="y" * 20_000)), Reason.TOO_LARGE),
    "beyond ASCII": (f"{GOOD_HEAD}.{GOOD_BODY}.é", Reason.MALFORMED),
    "lone surrogates": (f"{GOOD_HEAD}.{GOOD_BODY}.\ud800", Reason.MALFORMED),
    "spaces": (f" {token()}", Reason.MALFORMED),
    "two tokens": (f"{token()},{token()}", Reason.MALFORMED),
    "a token and another header": (f"{token()},Bearer {token()}", Reason.MALFORMED),
    "padded base64": (f"{GOOD_HEAD}=.{GOOD_BODY}.{GOOD_SIGNATURE}", Reason.MALFORMED),
    "header no JSON": (assemble(b"{", claims(), OTHER), Reason.MALFORMED),
    "header a list": (assemble(b'["alg"]', claims(), OTHER), Reason.MALFORMED),
    "header deeply nested": (assemble(b"[" * 5000, claims(), OTHER), Reason.MALFORMED),
    "no alg": (assemble({"kid": "first"}, claims(), OTHER), Reason.ALGORITHM),
    "none": (assemble({"alg": "none", "kid": "first"}, claims(), b""), Reason.ALGORITHM),
    "none in another case": (assemble({"alg": "NoNe"}, claims(), b""), Reason.ALGORITHM),
    "alg a list": (assemble({"alg": ["ES256"]}, claims(), OTHER), Reason.ALGORITHM),
    "alg null": (assemble({"alg": None}, claims(), OTHER), Reason.ALGORITHM),
    "HS256 with the public key as secret": (hs256(pem()), Reason.ALGORITHM),
    "HS256 with the JWK as secret": (hs256(json.dumps(jwk()).encode()), Reason.ALGORITHM),
    "HS512": (hs256(pem(), alg="HS512"), Reason.ALGORITHM),
    "EdDSA": (assemble({"alg": "EdDSA"}, claims(), OTHER), Reason.ALGORITHM),
    "ES256K": (assemble({"alg": "ES256K"}, claims(), OTHER), Reason.ALGORITHM),
    "kid a number": (token(kid=17), Reason.MALFORMED),
    "crit": (token(crit=["exp"], exp=NOW + 9), Reason.MALFORMED),
    "unencoded payload": (token(b64=False, crit=["b64"]), Reason.MALFORMED),
    "typ a number": (token(typ=3), Reason.MALFORMED),
    "wrong kid": (token(name="unknown", kid="unknown"), Reason.SIGNATURE),
    "unknown kid of an algorithm without nameless keys": (
        token(alg="ES384", name="other", kid="unknown"),
        Reason.UNKNOWN_KEY,
    ),
    "the kid of another key": (token(name="nameless", kid="first"), Reason.SIGNATURE),
    "null kid, signed with an unknown key": (token(name="stranger", kid=None), Reason.SIGNATURE),
    "the kid of a key of another kind": (token(alg="ES384", name="ec384", kid="first"), Reason.UNKNOWN_KEY),
    "an algorithm the key isn't for": (token(alg="RS256", name="only-rs512"), Reason.UNKNOWN_KEY),
    "the key in the header": (token(name="stranger", kid=None, jwk=jwk(name="stranger")), Reason.SIGNATURE),
    "no signature": (f"{GOOD_HEAD}.{GOOD_BODY}.", Reason.SIGNATURE),
    "signature cut": (f"{GOOD_HEAD}.{GOOD_BODY}.{GOOD_SIGNATURE[:-4]}", Reason.SIGNATURE),
    "signature of zeros": (f"{GOOD_HEAD}.{GOOD_BODY}.{b64(bytes(64))}", Reason.SIGNATURE),
    "other claims": (
        f"{GOOD_HEAD}.{b64(json.dumps(claims(sub='root')).encode())}.{GOOD_SIGNATURE}",
        Reason.SIGNATURE,
    ),
    "signature in DER": (f"{GOOD_HEAD}.{GOOD_BODY}.{b64(b'0' * 70)}", Reason.SIGNATURE),
    "no payload": (token(payload_bytes=b""), Reason.CLAIMS),
    "payload no JSON": (token(payload_bytes=b"hello"), Reason.CLAIMS),
    "payload a list": (token([1]), Reason.CLAIMS),
    "payload deeply nested": (token(payload_bytes=b"[" * 10_000), Reason.CLAIMS),
    "payload no UTF-8": (token(payload_bytes=b'{"iat": 1, "exp": "\xff"}'), Reason.CLAIMS),
    "NaN": (token(payload_bytes=f'{{"iat": {NOW}, "exp": NaN}}'.encode()), Reason.CLAIMS),
    "no exp": (token(claims(exp=...)), Reason.CLAIMS),
    "no iat": (token(claims(iat=...)), Reason.CLAIMS),
    "exp null": (token(claims(exp=None)), Reason.CLAIMS),
    "exp a text": (token(claims(exp=str(NOW + 300))), Reason.CLAIMS),
    "exp true": (token(claims(exp=True)), Reason.CLAIMS),
    "exp a list": (token(claims(exp=[NOW + 300])), Reason.CLAIMS),
    "exp for ever": (token(payload_bytes=f'{{"iat": {NOW}, "exp": 1e400}}'.encode()), Reason.CLAIMS),
    "exp with 1000 digits": (
        token(payload_bytes=f'{{"iat": {NOW}, "exp": {"9" * 1000}}}'.encode()),
        Reason.CLAIMS,
    ),
    "iat a text": (token(claims(iat="now")), Reason.CLAIMS),
    "iat negative": (token(claims(iat=-5)), Reason.CLAIMS),
    "nbf a text": (token(claims(nbf="now")), Reason.CLAIMS),
    "iss a list": (token(claims(iss=["http://auth"])), Reason.CLAIMS),
    "sub a number": (token(claims(sub=1)), Reason.CLAIMS),
    "aud a number": (token(claims(aud=1)), Reason.CLAIMS),
    "resources a list": (token(claims(resources=["authz:superuser"])), Reason.CLAIMS),
    "resources of texts": (token(claims(resources={"*": "authz:superuser"})), Reason.CLAIMS),
    "resources of numbers": (token(claims(resources={"*": [1]})), Reason.CLAIMS),
    "expired": (token(claims(exp=NOW - 100)), Reason.EXPIRED),
    "expired in 1970": (token(claims(iat=0, exp=0)), Reason.EXPIRED),
    "issued in the future": (token(claims(iat=NOW + 100, exp=NOW + 500)), Reason.NOT_YET_VALID),
    "not yet": (token(claims(nbf=NOW + 100)), Reason.NOT_YET_VALID),
}


async def verified(text, document=PUBLISHED):
    verifier = Verifier([FetchedKeys("the test", Served(document))], clock=lambda: NOW)
    try:
        return await verifier.verify(text)
    finally:
        await verifier.aclose()


@pytest.mark.parametrize("case", GOOD)
async def test_a_good_token_identifies_the_caller(case):
    principal = await verified(GOOD[case])
    assert principal.subject == "u1"
    assert principal.issuer == "http://auth"
    assert not principal.superuser


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_token_is_refused_for_the_right_reason(case, caplog):
    text, reason = BAD[case]
    with pytest.raises(TokenRefusedError) as caught:
        await verified(text)
    assert caught.value.reason == reason
    shown = f"{caught.value} {caplog.text}"
    assert f"({reason.value})" in caplog.text
    for part in (text or "").split("."):
        assert len(part) < 12 or part not in shown


def test_the_tables_are_complete():
    assert len(GOOD) + len(BAD) > 80


def test_without_the_package_it_says_what_to_install():
    program = (
        "import sys; sys.modules['joserfc'] = None\n"
        "from peerage import MissingExtraError\n"
        "try: import peerage.auth\n"
        "except MissingExtraError as error: print(error)"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert "pip install 'peerage[auth]'" in output
    assert "joserfc" in output


def test_verifying_loads_no_web_framework():
    program = "import peerage.auth, sys; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert not {"aiohttp", "peerage.web", "kazoo"} & set(output.split())
