"""Reads the keys out of a published document; a key that can't be used is skipped."""

import json
from typing import Any, Final, NamedTuple

from peerage.auth.jose import PublicKey, read_key, read_pem

__all__ = ["KeySet", "read_key_set"]

#: Keys of one set, at most: a token without a kid is tried against each that fits.
KEYS_LIMIT: Final = 64

#: Problems that are reported of one set, at most.
_REPORTED: Final = 8


class KeySet(NamedTuple):
    """The keys of one document."""

    keys: tuple[PublicKey, ...]
    problems: tuple[str, ...]
    """One sentence for each key that can't be used; quotes nothing of it."""


def read_key_set(data: bytes) -> KeySet:
    """Read a JWKS (``{"keys": […]}``), a single JWK, or a PEM.

    Keys for encryption are skipped silently.

    Raises:
        ValueError: it is none of these.
    """
    if data.lstrip().startswith(b"-----BEGIN"):
        return KeySet((read_pem(data),), ())
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it isn't JSON") from None
    published: Any = document.get("keys") if isinstance(document, dict) else None
    if published is None and isinstance(document, dict) and "kty" in document:
        published = [document]
    if not isinstance(published, list):
        raise ValueError("it isn't a JWKS, which has a list under 'keys'")  # noqa: TRY004 - callers handle every fault alike
    found: dict[PublicKey, None] = {}
    problems: list[str] = []
    for number, jwk in enumerate(published[:KEYS_LIMIT]):
        if isinstance(jwk, dict) and jwk.get("use") == "enc":
            continue
        try:
            found[read_key(jwk)] = None
        except ValueError as error:
            problems.append(f"Key {number} is skipped: {error}.")
    if len(published) > KEYS_LIMIT:
        problems.append(f"It has {len(published)} keys; only the first {KEYS_LIMIT} are read.")
    return KeySet((*found,), (*problems[:_REPORTED],))
