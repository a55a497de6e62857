"""The one file that knows joserfc: keys, and signatures made and verified with them."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Never, Self

from peerage.auth.reasons import Reason
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

__all__ = [
    "ALGORITHMS",
    "TOKEN_LIMIT",
    "PrivateKey",
    "PublicKey",
    "Token",
    "fitting",
    "read_key",
    "read_payload",
    "read_pem",
    "read_token",
]

_EC_ALGORITHMS: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_RSA_ALGORITHMS: Final = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))

#: Only those in which who verifies can't sign. Each key has the ones that fit it, so that the token's header
#: chooses among those and never what a key is used as.
ALGORITHMS: Final = _RSA_ALGORITHMS | frozenset(_EC_ALGORITHMS.values())

#: Characters of a token, at most; aiohttp's servers take half of it in one header by default.
TOKEN_LIMIT: Final = 16 * 1024

#: Bits of an RSA key: fewer are too weak (RFC 7518, section 3.3), with more a signature costs milliseconds.
_RSA_BITS: Final = (2048, 8192)

#: What is taken over from a JWK, by kind: its public part.
_PUBLIC_PARTS: Final = {"EC": ("crv", "x", "y"), "RSA": ("n", "e")}

_SEGMENTS: Final = {"signed": 3, "encrypted": 5}


def _is_text_or_null(value: Any) -> None:
    if value is not None and not isinstance(value, str):
        raise ValueError("must be a text or null")


class _Registry(jws.JWSRegistry):
    max_header_length = TOKEN_LIMIT
    max_payload_length = TOKEN_LIMIT


#: Clusters whose key is older than the first ``kid`` send it as null, which joserfc's own registry refuses.
_REGISTRY: Final = _Registry(
    header_registry={"kid": HeaderParameter("Key ID", _is_text_or_null)},
    algorithms=ALGORITHMS,
    # RFC 7515, section 4: header parameters that aren't understood are ignored.
    strict_check_header=False,
)


class Token(NamedTuple):
    """A token that is read and not verified."""

    algorithm: str
    """One of ALGORITHMS."""
    kid: str | None
    """The id of the key, None if it has none or null."""
    signed: "jws.CompactSignature"

    @property
    def payload(self) -> bytes:
        """What is signed."""
        return self.signed.payload


def read_token(text: str) -> Token:
    """Take a token apart; nothing in it is verified.

    Args:
        text: a JWT in compact form.

    Raises:
        TokenRefusedError: it can't be a token that is accepted.
    """
    if len(text) > TOKEN_LIMIT:
        raise TokenRefusedError(Reason.TOO_LARGE, f"It has more than {TOKEN_LIMIT} characters.")
    segments = text.count(".") + 1
    if segments == _SEGMENTS["encrypted"]:
        raise TokenRefusedError(Reason.ENCRYPTED, "It is encrypted (JWE); signed ones (JWS) are accepted.")
    if segments != _SEGMENTS["signed"]:
        raise TokenRefusedError(
            Reason.MALFORMED, "It is no JWT: those have three parts with dots between them."
        )
    header = _read_header(text)
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefusedError(
            Reason.ALGORITHM, "Its algorithm isn't accepted; those with RS, PS and ES in their names are."
        )
    if kid is not None and not isinstance(kid, str):
        raise TokenRefusedError(Reason.MALFORMED, "The kid in its header is no text.")
    if "crit" in header or "b64" in header:
        # Whoever doesn't understand what is critical must refuse (RFC 7515, 4.1.11); we understand none.
        raise TokenRefusedError(
            Reason.MALFORMED, "Its header has extensions (crit, b64) that aren't supported."
        )
    try:
        signed = jws.extract_compact(text.encode("ascii"), registry=_REGISTRY)
        _REGISTRY.check_header(signed.headers())
    except (JoseError, ValueError, TypeError) as error:
        raise TokenRefusedError(Reason.MALFORMED, "It can't be decoded.") from error
    return Token(algorithm, kid, signed)


def _read_header(text: str) -> dict[str, Any]:
    try:
        header = json.loads(urlsafe_b64decode(text.partition(".")[0].encode("ascii")))
    except (ValueError, RecursionError) as error:
        raise TokenRefusedError(Reason.MALFORMED, "Its header can't be decoded.") from error
    if not isinstance(header, dict):
        raise TokenRefusedError(Reason.MALFORMED, "Its header is no JSON object.")
    return header


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies signatures; equal to another one if it is the same key, used for the same."""

    thumbprint: str
    """RFC 7638, whatever it is called."""
    kid: str | None
    algorithms: frozenset[str]
    """What it may verify."""
    _key: ECKey | RSAKey = field(compare=False, repr=False)

    def fits(self, token: Token) -> bool:
        """Tell whether *token* may be signed with it, going by kind and algorithm, not by kid."""
        return token.algorithm in self.algorithms

    def verifies(self, token: Token) -> bool:
        """Tell whether *token* is signed with it."""
        try:
            return self.fits(token) and jws.validate_compact(token.signed, self._key, registry=_REGISTRY)
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
        raise ValueError("it is no JSON object")  # noqa: TRY004 - all that is wrong is told as one kind
    kind, kid, algorithm = jwk.get("kty"), jwk.get("kid"), jwk.get("alg")
    if not isinstance(kind, str) or kind not in _PUBLIC_PARTS:
        raise ValueError("its kty isn't EC or RSA")
    if jwk.get("use") not in (None, "sig"):
        raise ValueError("its use isn't sig")
    operations = jwk.get("key_ops")
    if operations is not None and not (
        isinstance(operations, list) and {"verify", "sign"} & {*map(str, operations)}
    ):
        raise ValueError("its key_ops don't have verify")
    if kid is not None and not isinstance(kid, str):
        raise ValueError("its kid is no text")
    key = _import_public(kind, jwk)
    fitting = _RSA_ALGORITHMS if kind == "RSA" else frozenset((_EC_ALGORITHMS[jwk["crv"]],))
    if algorithm is not None:
        fitting &= {algorithm} if isinstance(algorithm, str) else set()
        if not fitting:
            raise ValueError("its alg doesn't fit it, or isn't accepted")
    return PublicKey(key.thumbprint(), kid or None, frozenset(fitting), key)


def _import_public(kind: str, jwk: Mapping[str, Any]) -> ECKey | RSAKey:
    parts = {name: jwk.get(name) for name in _PUBLIC_PARTS[kind]}
    # Compared, not looked up: it may be anything that JSON has.
    if kind == "EC" and parts["crv"] not in (*_EC_ALGORITHMS,):
        raise ValueError("its crv isn't P-256, P-384 or P-521")
    try:
        if kind == "EC":
            return ECKey.import_key({"kty": kind, **parts})  # type: ignore[dict-item]
        bits = int.from_bytes(urlsafe_b64decode(str(parts["n"]).encode())).bit_length()
        if _RSA_BITS[0] <= bits <= _RSA_BITS[1]:
            return RSAKey.import_key({"kty": kind, **parts})  # type: ignore[dict-item]
    except Exception as error:
        # Whatever cryptography thinks of what somebody publishes costs that key and nothing else.
        raise ValueError(f"it can't be imported ({type(error).__name__})") from error
    raise ValueError(f"it has {bits} bits, not {_RSA_BITS[0]} to {_RSA_BITS[1]}")


def read_pem(data: bytes) -> PublicKey:
    """Read a public key, or a certificate, in PEM's form.

    Raises:
        ValueError: it is neither of EC nor of RSA, or can't be read.
    """
    for kind in (ECKey, RSAKey):
        try:
            return read_key(kind.import_key(data).as_dict(private=False))
        except Exception:  # noqa: BLE001, S112 - of the other kind, or of none
            continue
    raise ValueError("it is no PEM of an EC or RSA key")


@dataclass(frozen=True, slots=True, eq=False)
class PrivateKey:
    """An EC P-256 key that signs (ES256)."""

    public: PublicKey
    _key: ECKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Make a new one, with a kid."""
        return cls._of(ECKey.generate_key("P-256", {"kid": secrets.token_hex(16)}))

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read a private JWK as UTF-8 JSON.

        Raises:
            ValueError: it isn't one, or not of EC P-256; the message quotes nothing of it.
        """
        try:
            jwk = json.loads(data)
            parts = {name: jwk[name] for name in ("kty", "crv", "x", "y", "d")}
            kid = {"kid": jwk["kid"]} if jwk.get("kid") else {}
            return cls._of(ECKey.import_key({**parts, **kid}))
        except Exception as error:  # noqa: BLE001 - whatever somebody wrote there
            # Without the cause: its message may quote the key.
            raise ValueError(f"it is no private EC P-256 key as JWK ({type(error).__name__})") from None

    @classmethod
    def _of(cls, key: ECKey) -> Self:
        if not key.is_private or key.curve_name != "P-256":
            raise ValueError("no private key of P-256")
        return cls(read_key(key.as_dict(private=False)), key)

    def write(self) -> bytes:
        """Return it as a private JWK, UTF-8 JSON: a secret."""
        return json.dumps(self._key.as_dict(private=True), sort_keys=True).encode()

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a token with *claims*, which are JSON values."""
        header = {"alg": "ES256", "typ": "JWT", "kid": self.public.kid}
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return jws.serialize_compact(header, payload, self._key, registry=_REGISTRY)


def read_payload(payload: bytes) -> dict[str, Any]:
    """Read the claims of a token.

    Raises:
        TokenRefusedError: they are no JSON object.
    """
    try:
        claims = json.loads(payload, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise TokenRefusedError(Reason.CLAIMS, "Its claims are no JSON.") from error
    if not isinstance(claims, dict):
        raise TokenRefusedError(Reason.CLAIMS, "Its claims are no JSON object.")
    return claims


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is no JSON")


def fitting(keys: Sequence[PublicKey], token: Token) -> list[PublicKey]:
    """Return those of *keys* with which *token* may be signed, going by what its header says.

    A key is found by its ``kid`` or thumbprint. If the token has none, or only keys without a kid could be
    meant, all of that algorithm are.
    """
    able = [key for key in keys if key.fits(token)]
    if token.kid is None:
        return able
    named = [key for key in able if token.kid in (key.kid, key.thumbprint)]
    return named or [key for key in able if key.kid is None]
