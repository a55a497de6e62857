"""Where a request carries its token."""

from collections.abc import Mapping
from typing import Final

__all__ = ["PROTOCOL_PREFIX", "bearer_token", "protocol_token"]

#: Browsers can't set headers of a WebSocket, only name protocols: one of them may be the token.
PROTOCOL_PREFIX: Final = "access_token_"


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """Return the token of an ``Authorization: Bearer`` header (RFC 6750); None if there is none.

    Args:
        headers: of a request; looked up by ``Authorization``.
    """
    scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def protocol_token(protocols: str) -> tuple[str | None, str]:
    """Take the token out of a ``Sec-WebSocket-Protocol`` header.

    Args:
        protocols: its value: names with commas between them.

    Returns:
        The token, None if there is none, and the value without it.
    """
    names = [name.strip() for name in protocols.split(",")]
    others = [name for name in names if not name.startswith(PROTOCOL_PREFIX)]
    token = next((name for name in names if name.startswith(PROTOCOL_PREFIX)), "").removeprefix(
        PROTOCOL_PREFIX
    )
    return token or None, ", ".join(others)
