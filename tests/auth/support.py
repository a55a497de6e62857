"""Keys and tokens made with cryptography alone, independently of the code that verifies them."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from functools import cache

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from peerage.auth import SUPERUSER

CURVES = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}
#: Name of the key whose RSA kind is of the largest size that is accepted.
LARGEST = "largest"

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


@cache
def key(kind: str = "ES256", name: str = "first"):
    """A private key, the same for the same name."""
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind][1])
    return largest_key() if name == LARGEST else rsa.generate_private_key(65537, 2048)


def largest_key():
    """An RSA key of 8192 bits, out of two known primes: a random one takes up to half a minute."""
    p, q, e = (1 << 4096) - 2549, (1 << 4096) - 8067, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=rsa.rsa_crt_dmp1(d, p),
        dmq1=rsa.rsa_crt_dmq1(d, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(e, p * q),
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def jwk(kind: str = "ES256", name: str = "first", *, private: bool = False, **more):
    """The JWK of ``key(kind, name)``; ``kid`` is the name unless given."""
    secret = key(kind if kind in CURVES else "RSA", name)
    if kind in CURVES:
        crv, curve = CURVES[kind]
        size = (curve.key_size + 7) // 8
        numbers = secret.public_key().public_numbers()
        found = {"kty": "EC", "crv": crv, "x": number(numbers.x, size), "y": number(numbers.y, size)}
        if private:
            found["d"] = number(secret.private_numbers().private_value, size)
    else:
        numbers = secret.public_key().public_numbers()
        found = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    found |= {"kid": name} | more
    return {field: value for field, value in found.items() if value is not ...}


def jwks(*keys) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def pem(kind: str = "ES256", name: str = "first") -> bytes:
    public = key(kind if kind in CURVES else "RSA", name).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def claims(**changes):
    """Claims that are valid now; ``...`` leaves one out."""
    now = int(time.time())
    found = {"iss": "http://auth", "sub": "u1", "iat": now, "exp": now + 7200, "resources": {"*": ["a:read"]}}
    return {name: value for name, value in (found | changes).items() if value is not ...}


def sign(algorithm: str, data: bytes, name: str = "first") -> bytes:
    size = HASHES[algorithm[2:]]
    if algorithm in CURVES:
        secret = key(algorithm, name)
        r, s = decode_dss_signature(secret.sign(data, ec.ECDSA(size)))
        length = (CURVES[algorithm][1].key_size + 7) // 8
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")
    pad = (
        padding.PKCS1v15()
        if algorithm.startswith("RS")
        else padding.PSS(mgf=padding.MGF1(size), salt_length=size.digest_size)
    )
    return key("RSA", name).sign(data, pad, size)


def assemble(header, payload, signature) -> str:
    """A token of parts; *signature* is a function of what is signed, or bytes."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signed = f"{b64(head)}.{b64(body)}".encode()
    return f"{signed.decode()}.{b64(signature(signed) if callable(signature) else signature)}"


def token(
    payload=None, *, alg: str = "ES256", name: str = "first", payload_bytes: bytes | None = None, **header
) -> str:
    """A token signed by ``key(alg, name)``; *header* fields are added, ``...`` leaves one out."""
    fields = {"alg": alg, "typ": "JWT", "kid": name} | header
    fields = {field: value for field, value in fields.items() if value is not ...}
    body = payload_bytes if payload_bytes is not None else claims() if payload is None else payload
    return assemble(fields, body, lambda data: sign(alg, data, name))


def hs256(secret: bytes, payload=None, **header) -> str:
    fields = {"alg": "HS256", "typ": "JWT", "kid": "first"} | header
    return assemble(fields, payload or claims(), lambda data: hmac.digest(secret, data, hashlib.sha256))


class Served:
    """A document to be fetched; counts the fetches, can hold them back and fail them."""

    def __init__(self, document: bytes):
        self.document = document
        self.fetches = 0
        self.gate = None
        self.error = None
        self._begun = asyncio.Event()

    async def begun(self, fetches: int) -> None:
        """Wait until so many fetches have begun."""
        while self.fetches < fetches:
            self._begun.clear()
            await self._begun.wait()

    async def __call__(self) -> bytes:
        self.fetches += 1
        self._begun.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.document


class Random:
    """A source of randomness that always gives the same number."""

    def __init__(self, number: float):
        self._number = number

    def random(self) -> float:
        return self._number


#: Tokens of a caller who may read, of a superuser, and of one that another key than the named one signed.
READER = token()
ROOT = token(claims(resources={"*": [SUPERUSER]}))
STRANGER = token(name="stranger", kid="first")
