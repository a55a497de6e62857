"""Access tokens, of which an authorization server says whose they are: for development.

In production a proxy in front of the service does it, and requests come with ID tokens.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from cachetools import LRUCache

from peerage.auth import Principal, Reason, Verifier
from peerage.auth.bearer import bearer_token
from peerage.auth.fetched_keys import without_credentials
from peerage.errors import KeysUnavailableError, PeerageError, TokenRefusedError

__all__ = ["IntrospectingVerifier"]

#: Access tokens whose ID tokens are remembered.
_REMEMBERED: Final = 1024

#: Seconds that the server has for an answer, and until it is asked again if it doesn't give any.
_PATIENCE: Final = 5.0

_OK: Final = 200


class IntrospectingVerifier:
    """Verifies ID tokens, and access tokens by what the server has to say about them.

    Args:
        verifier: of ID tokens.
        url: where an access token is sent to, as it came; the answer has the ID token in its own
            ``Authorization`` header.
        session: makes a session without any authorization.
    """

    def __init__(self, verifier: Verifier, url: str, session: Callable[[], aiohttp.ClientSession]) -> None:
        self.verifier = verifier
        """Of ID tokens."""
        self._url = url
        self._shown = without_credentials(url)
        self._session = session
        self._id_tokens: LRUCache[bytes, str] = LRUCache(_REMEMBERED)

    async def verify(self, token: str | None) -> tuple[Principal, str | None]:
        """Return who *token* speaks for, and their ID token.

        Raises:
            TokenRefusedError: it isn't valid, or there is none.
            KeysUnavailableError: that can't be told.
        """
        if not token:
            return await self.verifier.verify(token), token
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        for candidate in (self._id_tokens.get(digest), token):
            if candidate is not None and candidate.count(".") == 2:  # noqa: PLR2004 - as a signed JWT has
                try:
                    return await self.verifier.verify(candidate), candidate
                except TokenRefusedError:
                    self._id_tokens.pop(digest, None)
        id_token = await self._introspect(token)
        principal = await self.verifier.verify(id_token)
        self._id_tokens[digest] = id_token
        return principal, id_token

    async def _introspect(self, token: str) -> str:
        try:
            async with asyncio.timeout(_PATIENCE), self._session() as session:
                # Led elsewhere, it would be somebody else who says whose the token is.
                request: Any = session.post(
                    self._url, headers={"Authorization": f"Bearer {token}"}, allow_redirects=False
                )
                async with request as response:
                    status, found = (
                        response.status,
                        bearer_token(response.headers.getall("Authorization", ())),
                    )
        except (aiohttp.ClientError, PeerageError, OSError, ValueError) as error:
            what = str(error) or type(error).__name__
            raise KeysUnavailableError(
                f"[auth] introspection_url={self._shown} doesn't answer: {what}", retry_after=_PATIENCE
            ) from error
        if status != _OK or found is None:
            raise TokenRefusedError(
                Reason.UNKNOWN_KEY, f"{self._shown} doesn't know it: it answers {status}."
            )
        return found
