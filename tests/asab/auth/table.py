"""Tokens of every kind, and where the original answers otherwise: what, and why."""

import base64
import json
import time
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwe
from joserfc.jwk import RSAKey
from tests.auth.support import assemble, b64, claims, hs256, jwk, key, pem, sign, token

__all__ = ["DIFFERENCES", "KEYS", "headers"]

_EDWARDS: Final = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

#: What is published: a key of each kind, and one without a kid.
KEYS: Final = (
    jwk(),
    jwk("RS256", "rsa"),
    jwk("ES384", "es384"),
    jwk("ES512", "es512"),
    jwk("ES256", "nameless", kid=...),
    {"kty": "OKP", "crv": "Ed25519", "x": b64(_EDWARDS.public_key().public_bytes_raw()), "kid": "edwards"},
)


def _now(seconds: float = 0) -> int:
    return int(time.time() + seconds)


def _with(**changes: Any) -> str:
    return token(claims(**changes))


def _raw(payload: bytes) -> str:
    return token(payload_bytes=payload)


def _edwards() -> str:
    header = {"alg": "EdDSA", "typ": "JWT", "kid": "edwards"}
    return assemble(header, claims(), _EDWARDS.sign)


def _encrypted() -> str:
    public = RSAKey.import_key(jwk("RS256", "rsa"))
    return jwe.encrypt_compact(
        {"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "rsa"}, json.dumps(claims()), public
    )


def _embedding(name: str) -> str:
    return token(name="stranger", kid=..., jwk=jwk(name=name))


def _der() -> str:
    header = {"alg": "ES256", "typ": "JWT", "kid": "first"}
    return assemble(header, claims(), lambda data: key().sign(data, ec.ECDSA(SHA256())))


def _cut(text: str, part: int, change: Any) -> str:
    parts = text.split(".")
    parts[part] = change(parts[part])
    return ".".join(parts)


def _other(part: str) -> str:
    return ("A" if part[0] != "A" else "B") + part[1:]


def _of_algorithms() -> dict[str, str]:
    stranger = json.dumps(jwk()).encode()
    return {
        "ES256": token(),
        **{alg: token(alg=alg, name="rsa") for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")},
        "ES384": token(alg="ES384", name="es384"),
        "ES512": token(alg="ES512", name="es512"),
        "EdDSA": _edwards(),
        "none": assemble({"alg": "none", "kid": "first"}, claims(), b""),
        "None": assemble({"alg": "None", "kid": "first"}, claims(), b""),
        "none, signed": token(alg="ES256").replace(
            token(alg="ES256").split(".")[0], b64(b'{"alg":"none","kid":"first"}')
        ),
        "HS256 with the public key as PEM": hs256(pem()),
        "HS256 with the public key as JWK": hs256(stranger),
        "HS256 with nothing": hs256(b""),
        "JWE": _encrypted(),
        "no alg": assemble({"typ": "JWT", "kid": "first"}, claims(), lambda data: sign("ES256", data)),
        "alg in lower case": assemble(
            {"alg": "es256", "kid": "first"}, claims(), lambda data: sign("ES256", data)
        ),
        "alg is a list": assemble(
            {"alg": ["ES256"], "kid": "first"}, claims(), lambda data: sign("ES256", data)
        ),
        "signature as DER": _der(),
    }


def _of_keys() -> dict[str, str]:
    return {
        "stranger": token(name="stranger"),
        "stranger by a known kid": token(name="stranger", kid="first"),
        "unknown kid": token(kid="unknown"),
        "kid of another kind": token(kid="rsa"),
        "kid of another key of that kind": token(alg="ES256", name="first", kid="nameless"),
        "no kid": token(kid=...),
        "kid is null": token(kid=None),
        "kid is empty": token(kid=""),
        "kid is a number": token(kid=1),
        "kid is a list": token(kid=["first"]),
        "no kid, of the key without one": token(name="nameless", kid=...),
        "some kid, of the key without one": token(name="nameless", kid="some"),
        "kid is null, of the key without one": token(name="nameless", kid=None),
        "no kid, RSA": token(alg="RS256", name="rsa", kid=...),
        "brings a stranger's key": _embedding("stranger"),
        "brings the right key": token(jwk=jwk()),
        "names a place for keys": token(name="stranger", kid="first", jku="http://127.0.0.1:1/jwks.json"),
        "critical extension": token(crit=["exp"], exp=1),
        "critical and unknown": token(crit=["other"], other=1),
        "not encoded": token(b64=False, crit=["b64"]),
        "unknown parameter": token(more="x"),
        "typ is another": token(typ="other"),
        "cty is JWT": token(cty="JWT"),
    }


def _of_times() -> dict[str, str]:
    return {
        "expired": _with(exp=_now(-3600)),
        "expired 30 s ago": _with(exp=_now(-30)),
        "expired 90 s ago": _with(exp=_now(-90)),
        "no exp": _with(exp=...),
        "exp is null": _with(exp=None),
        "exp is a text": _with(exp=str(_now(300))),
        "exp is a word": _with(exp="soon"),
        "exp is a fraction": _with(exp=_now(300) + 0.5),
        "exp is true": _with(exp=True),
        "exp is negative": _with(exp=-1),
        "exp is a list": _with(exp=[_now(300)]),
        "exp is beyond all years": _with(exp=10**15),
        "exp is no number": _raw(json.dumps(claims(exp=1)).replace('"exp": 1,', '"exp": NaN,').encode()),
        "exp is infinite": _raw(json.dumps(claims(exp=1)).replace('"exp": 1,', '"exp": Infinity,').encode()),
        "issued in 30 s": _with(iat=_now(30)),
        "issued in an hour": _with(iat=_now(3600)),
        "no iat": _with(iat=...),
        "iat is null": _with(iat=None),
        "iat is a text": _with(iat=str(_now())),
        "iat is a word": _with(iat="now"),
        "begins in 30 s": _with(nbf=_now(30)),
        "begins in an hour": _with(nbf=_now(3600)),
        "has begun": _with(nbf=_now(-10)),
        "nbf is a word": _with(nbf="now"),
        "nbf is null": _with(nbf=None),
    }


def _of_claims() -> dict[str, str]:
    return {
        "no resources": _with(resources=...),
        "resources is null": _with(resources=None),
        "resources is a list": _with(resources=["a:read"]),
        "resources is a text": _with(resources="a:read"),
        "resources of a text": _with(resources={"*": "a:read"}),
        "resources of letters": _with(resources={"*": "a:read, authz:superuser"}),
        "resources of null": _with(resources={"*": None}),
        "resources of numbers": _with(resources={"*": ["a:read", 1]}),
        "resources of lists": _with(resources={"*": [["a:read"]]}),
        "resources of objects": _with(resources={"*": {"a:read": False}}),
        "other resources": _with(resources={"*": ["b:read"]}),
        "of a tenant only": _with(resources={"acme": ["a:read"]}),
        "superuser": _with(resources={"*": ["authz:superuser"]}),
        "superuser of a tenant": _with(resources={"acme": ["authz:superuser"]}),
        "resources of the tenant null": _with(resources={"null": ["a:read"], "": ["a:read"]}),
        "sub is a number": _with(sub=1),
        "no sub": _with(sub=...),
        "iss is a number": _with(iss=1),
        "no iss": _with(iss=...),
        "aud is a list": _with(aud=["a", "b"]),
        "aud is a number": _with(aud=1),
        "aud is another service": _with(aud="another service"),
        "jti is a number": _with(jti=1),
        "claims are a list": _raw(b'["a"]'),
        "claims are a text": _raw(b'"a"'),
        "claims are null": _raw(b"null"),
        "claims are empty": _raw(b""),
        "claims are no JSON": _raw(b"{'exp': 1}"),
        "claims are no UTF-8": _raw(b"\xff\xfe"),
        "claims are deep": _raw(b'{"a":' * 900 + b"1" + b"}" * 900),
        "claims twice": _raw(json.dumps(claims(exp=1))[:-1].encode() + b', "exp": %d}' % _now(300)),
        "letters of all kinds": _with(sub="žluťoučký \U0001f40e \u202e"),
        "large": _with(more="x" * 4000),
        "too large for a header": _with(more="x" * 12000),
    }


def _of_texts() -> dict[str, str]:
    good = token()
    return {
        "nothing of a token": "nonsense",
        "dots": "..",
        "four dots": "....",
        "payload changed": _cut(good, 1, lambda _: b64(json.dumps(claims(sub="u2")).encode())),
        "signature changed": _cut(good, 2, _other),
        "signature missing": good.rpartition(".")[0] + ".",
        "signature cut": good[:-4],
        "two parts": good.rpartition(".")[0],
        "four parts": f"{good}.AAAA",
        "padded": _cut(good, 0, lambda part: part + "=" * (-len(part) % 4)),
        "not for URLs": _cut(token(kid="first", more="???>>>"), 0, lambda part: part.replace("_", "/")),
        "a space inside": f"{good[:30]} {good[30:]}",
        "something after it": f"{good} more",
        "letters that aren't ASCII": f"{good[:-1]}é",
        "header is no object": assemble(b"[]", claims(), b"x" * 64),
        "header is no JSON": assemble(b"{", claims(), b"x" * 64),
        "as JSON": _as_json(good),
    }


def _as_json(text: str) -> str:
    protected, payload, signature = text.split(".")
    return json.dumps({"protected": protected, "payload": payload, "signature": signature})


def headers() -> dict[str, str | None]:
    """Authorization headers, made now, by what they are."""
    tokens = {**_of_algorithms(), **_of_keys(), **_of_times(), **_of_claims(), **_of_texts()}
    good = token()
    return {
        **{name: f"Bearer {text}" for name, text in tokens.items()},
        "no header": None,
        "empty header": "",
        "scheme alone": "Bearer",
        "scheme in lower case": f"bearer {good}",
        "scheme in upper case": f"BEARER {good}",
        "no scheme": good,
        "another scheme": f"Token {good}",
        "basic": f"Basic {base64.b64encode(b'user:secret').decode()}",
        "two spaces": f"Bearer  {good}",
        "tab": f"Bearer\t{good}",
        "comma": f"Bearer {good}, Bearer {good}",
    }


_GOOD: Final = "200 200 403"
_REFUSED: Final = "401 401 401"
_DENIED: Final = "403 403 403"
_BROKEN: Final = "500 500 500"

_NO_ERROR: Final = "a malformed token isn't an error of the server"
_NOT_A_LIST: Final = "resources must be lists of texts; anything else grants nothing"
_SCHEME: Final = "RFC 7235: the case of the scheme doesn't matter, and several spaces may follow it"
_KID: Final = "a signature of a known key is valid; the kid is only a hint"
_BASE64: Final = "RFC 7515: base64url without padding; one text for one token"

#: The differences: the answers of the original, ours, and the reason. The three statuses are those of
#: ``/read``, which requires ``a:read``, of a second request to it, and of ``/root``, which is for superusers.
DIFFERENCES: Final = {
    "EdDSA": (_GOOD, _REFUSED, "RS*, PS* and ES* are what is documented; no issuer of ASAB's signs so"),
    "kid is null": (_REFUSED, _GOOD, _KID),
    "some kid, of the key without one": (_REFUSED, _GOOD, _KID),
    "expired 30 s ago": (
        *(_REFUSED, _GOOD),
        "clocks may differ by 60 s; jwcrypto allows that, but the original checks again without it",
    ),
    "issued in an hour": (_GOOD, _REFUSED, "it isn't valid yet, by more than clocks may differ"),
    "iat is a text": (_GOOD, _REFUSED, "RFC 7519: a number"),
    "iat is null": (_BROKEN, _REFUSED, _NO_ERROR),
    "exp is beyond all years": (_BROKEN, _REFUSED, _NO_ERROR),
    "nbf is null": (_REFUSED, _GOOD, "null is as good as absent"),
    "resources is null": (_BROKEN, _DENIED, "null is as good as absent"),
    "resources is a list": (_BROKEN, _REFUSED, _NO_ERROR),
    "resources is a text": (_BROKEN, _REFUSED, _NO_ERROR),
    "resources of null": (_BROKEN, _REFUSED, _NO_ERROR),
    "resources of lists": (_BROKEN, _REFUSED, _NO_ERROR),
    "resources of a text": (_DENIED, _REFUSED, _NOT_A_LIST),
    "resources of letters": (_DENIED, _REFUSED, _NOT_A_LIST),
    "resources of numbers": (_GOOD, _REFUSED, _NOT_A_LIST),
    "resources of objects": (_GOOD, _REFUSED, _NOT_A_LIST),
    "claims are a list": (_BROKEN, _REFUSED, _NO_ERROR),
    "claims are a text": (_BROKEN, _REFUSED, _NO_ERROR),
    "padded": (_GOOD, _REFUSED, _BASE64),
    "not for URLs": (_GOOD, _REFUSED, _BASE64),
    "scheme in lower case": (_REFUSED, _GOOD, _SCHEME),
    "scheme in upper case": (_REFUSED, _GOOD, _SCHEME),
    "two spaces": (_REFUSED, _GOOD, _SCHEME),
}
