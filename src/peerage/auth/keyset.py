"""From what somebody publishes to the keys in it: what can't be used costs that key alone."""

import json
from typing import Any, Final, NamedTuple

from peerage.auth.jose import PublicKey, read_key, read_pem

__all__ = ["KeySet", "read_key_set"]

#: Keys of one set, at most: a token without a kid is tried against each that fits.
KEYS_LIMIT: Final = 64

#: Problems told of one set.
_TOLD: Final = 8


class KeySet(NamedTuple):
    """The keys of one document."""

    keys: tuple[PublicKey, ...]
    problems: tuple[str, ...]
    """What couldn't be used, a sentence each; quotes nothing of it."""


def read_key_set(data: bytes) -> KeySet:
    """Read a JWKS (``{"keys": […]}``), a single JWK, or a PEM.

    Keys for encryption are left out silently.

    Raises:
        ValueError: it is none of them.
    """
    if data.lstrip().startswith(b"-----BEGIN"):
        return KeySet((read_pem(data),), ())
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    published: Any = document.get("keys") if isinstance(document, dict) else None
    if published is None and isinstance(document, dict) and "kty" in document:
        published = [document]
    if not isinstance(published, list):
        raise ValueError('it is no JWKS: those have a list under "keys"')  # noqa: TRY004 - told as one kind
    found: dict[PublicKey, None] = {}
    problems: list[str] = []
    for number, jwk in enumerate(published[:KEYS_LIMIT]):
        if isinstance(jwk, dict) and jwk.get("use") == "enc":
            continue
        try:
            found[read_key(jwk)] = None
        except ValueError as error:
            problems.append(f"Key {number} is left out: {error}.")
    if len(published) > KEYS_LIMIT:
        problems.append(f"It has {len(published)} keys, the first {KEYS_LIMIT} are read.")
    return KeySet((*found,), (*problems[:_TOLD],))
