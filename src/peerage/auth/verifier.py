"""Verifies tokens: returns the caller that a token identifies, or raises the reason why it is refused."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from cachetools import TLRUCache

from peerage.auth.claims import LEEWAY, check_claims, memory_of
from peerage.auth.jose import PublicKey, Token, read_payload, read_token
from peerage.auth.principal import Principal
from peerage.auth.refusals import Reason, Refusals
from peerage.errors import KeysUnavailableError, TokenRefusedError
from peerage.timing import monotonic, wall_clock

#: Keys of one source that a token is tried against.
_TRIED: Final = 16


class KeySource(Protocol):
    """Public keys, and the rules for the tokens that they sign."""

    name: str
    """How messages call it; without credentials."""

    @property
    def keys(self) -> Sequence[PublicKey]:
        """The keys that are known; none if they depend on the token."""
        return ()

    def refresh(self, *, missing: bool = False) -> Awaitable[object] | None:
        """Begin to bring the keys up to date if that is needed; called before every use.

        Keys are *missing* if none of the known ones has signed a token. It returns what to wait for before
        the keys are used, None if they can be used at once.
        """

    def candidates(self, token: Token) -> Sequence[PublicKey]:
        """Return the keys that may have signed *token*, which isn't verified yet."""
        return token.fitting(self.keys)

    def check(self, claims: Mapping[str, Any]) -> None:  # noqa: ARG002 - for sources that need them
        """Raise TokenRefusedError if a token of one of these keys must not make these claims."""
        return

    def holds(self, key: PublicKey, claims: Mapping[str, Any]) -> bool:  # noqa: ARG002 - likewise
        """Tell whether a token that was accepted before is still good, going by its key and its audience."""
        return key in self.keys

    def unavailable(self) -> KeysUnavailableError | None:
        """Return the error to raise if no key is known at all; None if one is."""

    async def aclose(self) -> None:
        """Stop bringing the keys up to date; may be called twice."""
        return


class _Accepted(NamedTuple):
    principal: Principal
    key: PublicKey
    source: KeySource
    claims: Mapping[str, Any]
    begins: float  # seconds since the epoch, the leeway included
    ends: float  # monotonic seconds, the leeway included
    size: int  # bytes of memory, about


class Verifier:
    """Verifies tokens against the keys of its sources.

    An accepted token is kept by its hash until it expires or its key is withdrawn, so a token that comes with
    every request is verified once. A token that none of the known keys has signed makes the sources fetch
    their keys again, with a pause between two fetches; tokens of a known key don't wait for that.

    Args:
        sources: of users' keys; closed by :meth:`aclose`.
        internal: source of the services' keys, None if internal tokens aren't accepted; not closed.
        clock: seconds since the epoch.
        monotonic: monotonic seconds.
        cache_bytes: memory that accepted tokens take, at most; a common one takes about 6 kB.
    """

    def __init__(
        self,
        sources: Sequence[KeySource],
        *,
        internal: KeySource | None = None,
        clock: Callable[[], float] = wall_clock,
        monotonic: Callable[[], float] = monotonic,
        cache_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        self.refusals = Refusals()
        """How often tokens were refused, by reason."""
        self.accepted = 0
        """How often a token was accepted."""
        self._fetched = tuple(sources)
        self._internal = internal
        self._sources: tuple[KeySource, ...] = (*sources, *(() if internal is None else (internal,)))
        self._clock = clock
        self._monotonic = monotonic
        self._cache = TLRUCache[bytes, _Accepted](
            cache_bytes,
            ttu=lambda _digest, accepted, _now: accepted.ends,
            timer=monotonic,
            getsizeof=lambda accepted: accepted.size,
        )

    async def verify(self, token: str | None) -> Principal:
        """Return the caller that *token*, a JWT in compact form, identifies.

        Raises:
            TokenRefusedError: it isn't valid, or there is none; counted and logged.
            KeysUnavailableError: there are no keys to verify it with.
        """
        try:
            principal = await self._verify(token)
        except TokenRefusedError as error:
            self.refusals.note(error.reason, error)
            raise
        self.accepted += 1
        return principal

    @property
    def sources(self) -> Sequence[KeySource]:
        """Where the keys of users' tokens come from."""
        return self._fetched

    async def aclose(self) -> None:
        """Stop fetching keys; may be called twice."""
        await asyncio.gather(*(source.aclose() for source in self._fetched))

    async def _verify(self, text: str | None) -> Principal:
        if not text:
            raise TokenRefusedError(Reason.MISSING, "There is no token.")
        await self._refresh()
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        if (known := self._recall(digest)) is not None:
            return known
        token = read_token(text)
        source, key = await self._find(token)
        claims = read_payload(token.payload)
        check_claims(claims, self._clock())
        size = memory_of(claims)
        source.check(claims)
        principal = Principal(
            claims, internal=source is self._internal, clock=self._clock, monotonic=self._monotonic
        )
        self._cache[digest] = _Accepted(
            principal,
            key,
            source,
            claims,
            begins=max(claims["iat"], claims.get("nbf") or 0) - LEEWAY,
            ends=self._monotonic() + claims["exp"] + LEEWAY - self._clock(),
            # The principal has a copy of the outer object, and a set of each list of resources.
            size=3 * size + 1536,
        )
        return principal

    def _recall(self, digest: bytes) -> Principal | None:
        if (accepted := self._cache.get(digest)) is None:
            return None
        principal, key, source, claims, begins, *_ = accepted
        if begins < self._clock() and principal.valid and source.holds(key, claims):
            return principal
        self._cache.pop(digest, None)
        return None

    async def _refresh(self, *, missing: bool = False) -> None:
        waiting = [wait for source in self._sources if (wait := source.refresh(missing=missing)) is not None]
        if waiting:
            await asyncio.gather(*waiting)

    async def _find(self, token: Token) -> tuple[KeySource, PublicKey]:
        """Return the key that has signed *token*, and its source."""
        for candidate in (tried := self._candidates(token)):
            if candidate[1].verifies(token):
                return candidate
        await self._refresh(missing=True)
        for candidate in (candidates := self._candidates(token)):
            if candidate not in tried and candidate[1].verifies(token):
                return candidate
        missing = [error for source in self._sources if (error := source.unavailable()) is not None]
        if missing:
            raise max(missing, key=lambda error: error.retry_after)
        if candidates:
            raise TokenRefusedError(
                Reason.SIGNATURE, "None of the keys that it may be signed with signed it."
            )
        names = ", ".join(source.name for source in self._sources) or "no source (none is configured)"
        raise TokenRefusedError(Reason.UNKNOWN_KEY, f"None of the keys of {names} could have signed it.")

    def _candidates(self, token: Token) -> list[tuple[KeySource, PublicKey]]:
        return [(source, key) for source in self._sources for key in source.candidates(token)[:_TRIED]]
