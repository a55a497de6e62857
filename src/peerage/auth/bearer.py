"""Where a request carries its token."""

from collections.abc import Iterable
from typing import Final

__all__ = ["PROTOCOL_PREFIX", "bearer_token", "protocol_token"]

#: A browser can't set headers of a WebSocket, only offer protocols: one of them may be the token (ASAB).
PROTOCOL_PREFIX: Final = "access_token_"


def bearer_token(authorization: Iterable[str]) -> str | None:
    """Return the token of an ``Authorization: Bearer`` header (RFC 6750); None if there is none.

    Several headers are joined as RFC 9110 says, section 5.2. The result isn't a token, so it is refused.

    Args:
        authorization: the values of all ``Authorization`` headers of a request.
    """
    scheme, _, token = ",".join(authorization).strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def protocol_token(protocols: str) -> tuple[str | None, str]:
    """Take the token out of a ``Sec-WebSocket-Protocol`` header.

    Args:
        protocols: value of the header: names separated by commas.

    Returns:
        The token, None if there is none, and the value without it. Several tokens are joined by a comma, so
        they are refused.
    """
    names = [name.strip() for name in protocols.split(",")]
    tokens = [name.removeprefix(PROTOCOL_PREFIX) for name in names if name.startswith(PROTOCOL_PREFIX)]
    others = [name for name in names if not name.startswith(PROTOCOL_PREFIX)]
    return ",".join(tokens) or None, ", ".join(others)
