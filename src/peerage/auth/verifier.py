"""From a token to who it speaks for, or the reason why not."""

import asyncio
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from peerage.auth.claims import LEEWAY, check_claims
from peerage.auth.jose import PublicKey, Token, read_payload, read_token
from peerage.auth.principal import Principal
from peerage.auth.reasons import Reason
from peerage.auth.refusals import Refusals
from peerage.auth.sources import KeySource
from peerage.errors import KeysUnavailableError, TokenRefusedError

__all__ = ["Verifier", "digest_of", "remember"]

#: Verified tokens that are remembered.
_REMEMBERED: Final = 4096

#: Keys of one source that a token is tried against.
_TRIED: Final = 16

_Known = TypeVar("_Known")


class _Verified(NamedTuple):
    principal: Principal
    key: PublicKey
    source: KeySource
    claims: Mapping[str, Any]


class Verifier:
    """Verifies tokens against the keys of its sources.

    What is valid is remembered by its hash until it expires or its key is withdrawn, so a token that comes
    with every request is verified once. A token that no known key has signed has the keys fetched anew, if
    that wasn't done a moment ago; those with a known key never wait for that.

    Args:
        sources: where keys come from; any of them may have signed. Closed by :meth:`aclose`.
        shared: likewise, of the cluster itself: a service has signed. Closed by somebody else.
        leeway: seconds by which clocks may differ.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        sources: Sequence[KeySource],
        *,
        shared: Sequence[KeySource] = (),
        leeway: float = LEEWAY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.refusals = Refusals()
        """How often somebody was refused, by reason."""
        self.accepted = 0
        """How often one was accepted."""
        self._owned = tuple(sources)
        self._sources = (*sources, *shared)
        self._leeway = leeway
        self._clock = clock
        self._verified: dict[bytes, _Verified] = {}

    async def verify(self, token: str | None) -> Principal:
        """Return who *token*, a JWT in compact form, speaks for.

        Raises:
            TokenRefusedError: it isn't valid, or there is none; counted and logged.
            KeysUnavailableError: that can't be told, because there are no keys.
        """
        try:
            principal = await self._verify(token)
        except TokenRefusedError as error:
            self.refusals.note(error.reason, error)
            raise
        self.accepted += 1
        return principal

    async def aclose(self) -> None:
        """Stop fetching keys; may be called twice."""
        await asyncio.gather(*(source.aclose() for source in self._owned))

    async def _verify(self, text: str | None) -> Principal:
        if not text:
            raise TokenRefusedError(Reason.MISSING, "There is none.")
        await self._freshen()
        digest = digest_of(text)
        known = self._recall(digest)
        if known is not None:
            return known
        token = read_token(text)
        source, key = await self._find(token)
        claims = read_payload(token.payload)
        check_claims(claims, self._clock(), leeway=self._leeway)
        source.check(claims)
        principal = Principal(
            claims, internal=source not in self._owned, leeway=self._leeway, clock=self._clock
        )
        remember(self._verified, digest, _Verified(principal, key, source, claims), _REMEMBERED)
        return principal

    async def _freshen(self) -> None:
        """Have old keys fetched, and wait only for those that nobody has asked about for long."""
        overdue = [source for source in self._sources if source.overdue]
        if overdue:
            await asyncio.gather(*(source.renew() for source in overdue))
        for source in self._sources:
            source.touch()

    async def _find(self, token: Token) -> tuple[KeySource, PublicKey]:
        """Return the key that has signed *token*, and where it is from."""
        tried = self._candidates(token)
        found = _first(tried, token)
        if found is None:
            await asyncio.gather(*(source.renew() for source in self._sources))
            found = _first([each for each in self._candidates(token) if each not in tried], token)
        if found is not None:
            return found
        missing = [source for source in self._sources if source.empty]
        if missing:
            raise KeysUnavailableError(
                f"There are no public keys of {missing[0].name}: {missing[0].problem or 'not fetched yet'}. "
                "Check that it runs and can be reached from here.",
                retry_after=max(1.0, math.ceil(max(source.retry_after for source in missing))),
            )
        if self._candidates(token):
            raise TokenRefusedError(Reason.SIGNATURE, "Its signature isn't that of the key.")
        raise TokenRefusedError(
            Reason.UNKNOWN_KEY, f"None of the keys of {self._names()} could have signed it."
        )

    def _candidates(self, token: Token) -> list[tuple[KeySource, PublicKey]]:
        return [(source, key) for source in self._sources for key in source.candidates(token)[:_TRIED]]

    def _names(self) -> str:
        return ", ".join(source.name for source in self._sources) or "nobody (no source of keys is set)"

    def _recall(self, digest: bytes) -> Principal | None:
        verified = self._verified.get(digest)
        if verified is None:
            return None
        principal, key, source, claims = verified
        if principal.valid and source.holds(key, claims):
            return principal
        del self._verified[digest]
        return None


def digest_of(token: str) -> bytes:
    """Return what *token* is remembered by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def remember(known: dict[bytes, _Known], digest: bytes, value: _Known, most: int) -> None:
    """Take *value* into *known*, which has *most* at the most."""
    while len(known) >= most:
        # The oldest: a dictionary keeps the order of insertion.
        del known[next(iter(known))]
    known[digest] = value


def _first(candidates: list[tuple[KeySource, PublicKey]], token: Token) -> tuple[KeySource, PublicKey] | None:
    return next(((source, key) for source, key in candidates if key.verifies(token)), None)
