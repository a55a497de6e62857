"""The one file that knows joserfc: keys, and signatures made and verified with them."""

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Never, Self

from peerage.auth.refusals import Reason
from peerage.errors import MissingExtraError, TokenRefusedError

try:
    from joserfc import jws
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, RSAKey
    from joserfc.registry import HeaderParameter
    from joserfc.util import urlsafe_b64decode
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"Authorization needs the package {error.name!r}: pip install 'peerage[auth]'", name=error.name
    ) from error

_EC_ALGORITHMS: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_RSA_ALGORITHMS: Final = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))

#: Asymmetric algorithms only: a service that verifies can't sign. Each key accepts the algorithms that fit
#: it, so the header of a token chooses among those and never decides what a key is used as.
ALGORITHMS: Final = _RSA_ALGORITHMS | frozenset(_EC_ALGORITHMS.values())

#: Characters of a token, at most; aiohttp's servers take half of it in one header by default.
TOKEN_LIMIT: Final = 16 * 1024

#: Bits of an RSA modulus: fewer are too weak (RFC 7518, section 3.3), more cost milliseconds a signature.
_RSA_BITS: Final = (2048, 8192)

#: Bits of an RSA exponent. It is 65537 nearly always; a long one makes each verification 100 times as slow.
_EXPONENT_BITS: Final = 32

#: The public members of a JWK, by kind of key.
_PUBLIC_PARTS: Final = {"EC": ("crv", "x", "y"), "RSA": ("n", "e")}

_SEGMENTS: Final = {"signed": 3, "encrypted": 5}


class _Registry(jws.JWSRegistry):
    max_header_length = TOKEN_LIMIT
    max_payload_length = TOKEN_LIMIT
    # 8192 bits in base64; the default of joserfc ends at 6144.
    max_signature_length = 1366


_REGISTRY: Final = _Registry(
    # Clusters whose key was made before ASAB wrote a ``kid`` send null, which joserfc's own registry refuses.
    header_registry={"kid": HeaderParameter("Key ID", lambda _: None)},
    algorithms=ALGORITHMS,
    # RFC 7515, section 4: header parameters that aren't understood are ignored.
    strict_check_header=False,
)


class Token(NamedTuple):
    """A token that is read and not verified."""

    algorithm: str
    """One of ALGORITHMS."""
    kid: str | None
    """Id of the key; None if the header has none, or null."""
    payload: bytes
    """The signed bytes: the claims as JSON."""
    signed: "jws.CompactSignature"

    def fitting(self, keys: Sequence["PublicKey"]) -> list["PublicKey"]:
        """Return those of *keys* that may have signed it, going by its header.

        A key is found by its ``kid`` or thumbprint. If the token has no kid, all keys of its algorithm are
        returned; if no key has that kid, all of its algorithm without a kid.
        """
        able = [key for key in keys if self.algorithm in key.algorithms]
        if self.kid is None:
            return able
        named = [key for key in able if self.kid in (key.kid, key.thumbprint)]
        return named or [key for key in able if key.kid is None]


def read_token(text: str) -> Token:
    """Take apart a JWT in compact form (RFC 7515, section 7.1); nothing in it is verified.

    It raises TokenRefusedError if this can't be a token that is accepted.
    """
    if len(text) > TOKEN_LIMIT:
        raise TokenRefusedError(Reason.TOO_LARGE, f"It has more than {TOKEN_LIMIT} characters.")
    if "," in text:
        raise TokenRefusedError(Reason.MALFORMED, "The request carries several tokens: send one.")
    segments = text.count(".") + 1
    if segments == _SEGMENTS["encrypted"]:
        raise TokenRefusedError(Reason.ENCRYPTED, "It is encrypted (JWE); only signed tokens are accepted.")
    if segments != _SEGMENTS["signed"]:
        raise TokenRefusedError(Reason.MALFORMED, "It isn't a JWT, which has three parts separated by dots.")
    header = _read_header(text.partition(".")[0])
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefusedError(
            Reason.ALGORITHM, "Its algorithm isn't accepted: sign with RS, PS or ES and 256, 384 or 512."
        )
    if kid is not None and not isinstance(kid, str):
        raise TokenRefusedError(Reason.MALFORMED, "The kid in its header isn't a string.")
    if "crit" in header or "b64" in header:
        # Critical extensions that aren't understood must be refused (RFC 7515, section 4.1.11).
        raise TokenRefusedError(
            Reason.MALFORMED, "Its header has extensions (crit, b64) that aren't supported."
        )
    try:
        signed = jws.extract_compact(text.encode("ascii"), registry=_REGISTRY)
        _REGISTRY.check_header(signed.headers())
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise TokenRefusedError(Reason.MALFORMED, "It can't be decoded.") from error
    return Token(algorithm, kid, signed.payload, signed)


def _read_header(text: str) -> dict[str, Any]:
    try:
        header = json.loads(urlsafe_b64decode(text.encode("ascii")))
    except (ValueError, RecursionError) as error:
        raise TokenRefusedError(Reason.MALFORMED, "Its header can't be decoded.") from error
    if not isinstance(header, dict):
        raise TokenRefusedError(Reason.MALFORMED, "Its header isn't a JSON object.")
    return header


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies signatures; equal to another one if key, kid and algorithms are equal."""

    thumbprint: str
    """RFC 7638; it doesn't depend on the kid."""
    kid: str | None
    algorithms: frozenset[str]
    _key: ECKey | RSAKey = field(compare=False, repr=False)

    def verifies(self, token: Token) -> bool:
        """Tell whether *token* is signed with it."""
        try:
            return token.algorithm in self.algorithms and jws.validate_compact(
                token.signed, self._key, registry=_REGISTRY
            )
        except (JoseError, ValueError):
            return False

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JWK."""
        return {**self._key.as_dict(private=False), **({"kid": self.kid} if self.kid else {})}


def read_key(jwk: object) -> PublicKey:
    """Read the public part of a JWK.

    Raises:
        ValueError: it can't be used to verify; the message says why and quotes nothing of it.
    """
    if not isinstance(jwk, Mapping):
        raise ValueError("it isn't a JSON object")  # noqa: TRY004 - callers handle every fault alike
    kind, kid, algorithm = jwk.get("kty"), jwk.get("kid"), jwk.get("alg")
    if not isinstance(kind, str) or kind not in _PUBLIC_PARTS:
        raise ValueError("its kty isn't EC or RSA")
    if jwk.get("use") not in (None, "sig"):
        raise ValueError("its use isn't sig")
    operations = jwk.get("key_ops")
    if operations is not None and not (
        isinstance(operations, list) and {"verify", "sign"} & {*map(str, operations)}
    ):
        raise ValueError("its key_ops don't include verify")
    if kid is not None and not isinstance(kid, str):
        raise ValueError("its kid isn't a string")
    key = _import_public(kind, jwk)
    fitting = _RSA_ALGORITHMS if kind == "RSA" else frozenset((_EC_ALGORITHMS[jwk["crv"]],))
    if algorithm is not None:
        fitting &= {algorithm} if isinstance(algorithm, str) else set()
        if not fitting:
            raise ValueError("its alg doesn't fit it, or isn't accepted")
    return PublicKey(key.thumbprint(), kid or None, frozenset(fitting), key)


def _import_public(kind: str, jwk: Mapping[str, Any]) -> ECKey | RSAKey:
    parts = {name: jwk.get(name) for name in _PUBLIC_PARTS[kind]}
    # A tuple, because the value may be any JSON value, and some aren't hashable.
    if kind == "EC" and parts["crv"] not in (*_EC_ALGORITHMS,):
        raise ValueError("its crv isn't P-256, P-384 or P-521")
    try:
        if kind == "EC":
            return ECKey.import_key({"kty": kind, **parts})  # type: ignore[dict-item]
        bits, exponent_bits = _bits(parts["n"]), _bits(parts["e"])
        if _RSA_BITS[0] <= bits <= _RSA_BITS[1] and exponent_bits <= _EXPONENT_BITS:
            return RSAKey.import_key({"kty": kind, **parts})  # type: ignore[dict-item]
    except Exception as error:
        # cryptography raises many kinds of exceptions; a bad key is skipped, whatever is wrong with it.
        raise ValueError(f"it can't be imported ({type(error).__name__})") from error
    if exponent_bits > _EXPONENT_BITS:
        raise ValueError(f"its exponent has {exponent_bits} bits, more than {_EXPONENT_BITS}")
    raise ValueError(f"it has {bits} bits, not {_RSA_BITS[0]} to {_RSA_BITS[1]}")


def _bits(number: object) -> int:
    return int.from_bytes(urlsafe_b64decode(str(number).encode())).bit_length()


def read_pem(data: bytes) -> PublicKey:
    """Read a public EC or RSA key, or a certificate, in PEM; ValueError if it is none."""
    for kind in (ECKey, RSAKey):
        with suppress(Exception):  # the other kind is tried next
            return read_key(kind.import_key(data).as_dict(private=False))
    raise ValueError("it isn't an EC or RSA key in PEM")


@dataclass(frozen=True, slots=True, eq=False)
class PrivateKey:
    """An EC P-256 key that signs (ES256)."""

    public: PublicKey
    _key: ECKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Make a new key, with a random kid."""
        return cls._of(ECKey.generate_key("P-256", {"kid": secrets.token_hex(16)}))

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read a private JWK as UTF-8 JSON.

        Raises:
            ValueError: it isn't one, or isn't of EC P-256; the message quotes nothing of it.
        """
        try:
            jwk = json.loads(data)
            parts = {name: jwk[name] for name in ("kty", "crv", "x", "y", "d")}
            kid = {"kid": jwk["kid"]} if jwk.get("kid") else {}
            return cls._of(ECKey.import_key({**parts, **kid}))
        except Exception as error:  # noqa: BLE001 - the secret may hold anything
            # Without the cause, whose message may quote the key.
            raise ValueError(f"it isn't a private EC P-256 key as JWK ({type(error).__name__})") from None

    @classmethod
    def _of(cls, key: ECKey) -> Self:
        if not key.is_private or key.curve_name != "P-256":
            raise ValueError("it isn't a private key of P-256")
        return cls(read_key(key.as_dict(private=False)), key)

    def write(self) -> bytes:
        """Return the private JWK as UTF-8 JSON: a secret."""
        return json.dumps(self._key.as_dict(private=True), sort_keys=True).encode()

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a token with *claims*, which are JSON values."""
        header = {"alg": "ES256", "typ": "JWT", "kid": self.public.kid}
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return jws.serialize_compact(header, payload, self._key, registry=_REGISTRY)


def read_payload(payload: bytes) -> dict[str, Any]:
    """Read the claims of a token; TokenRefusedError if they aren't a JSON object."""
    try:
        claims = json.loads(payload, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise TokenRefusedError(Reason.CLAIMS, "Its claims aren't JSON.") from error
    if not isinstance(claims, dict):
        raise TokenRefusedError(Reason.CLAIMS, "Its claims aren't a JSON object.")
    return claims


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} isn't JSON")
