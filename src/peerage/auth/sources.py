"""Where public keys come from: kept, fetched again when old, and never fetched by everybody at once."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from peerage.auth.claims import check_parties
from peerage.auth.jose import PublicKey, Token, fitting
from peerage.auth.keyset import read_key_set

__all__ = ["FetchedKeys", "KeySource", "read_file"]

log = logging.getLogger(__name__)

#: Seconds that one fetch may take.
FETCH_TIMEOUT: Final = 5.0

#: Seconds for which keys are fresh. Older ones are used while they are fetched anew; three times as old, that
#: is waited for.
FRESH: Final = 300.0

#: Seconds after which keys that nobody confirms any more are forgotten.
KEEP: Final = 24 * 3600.0

#: Seconds between two fetches; after one that failed it begins with less and doubles.
COOL_DOWN: Final = 10.0
_FIRST_RETRY: Final = 2.0
_LAST_RETRY: Final = 30.0

#: Up to how much longer it gets, so that the services of a cluster don't fetch in step.
_JITTER: Final = 0.5


class KeySource(Protocol):
    """Public keys from one place."""

    @property
    def name(self) -> str:
        """What it is called in messages; without credentials."""

    @property
    def empty(self) -> bool:
        """Whether no key is known."""

    def candidates(self, token: Token) -> Sequence[PublicKey]:
        """Return the keys that may have signed *token*, which isn't verified."""

    def holds(self, key: PublicKey, claims: Mapping[str, Any]) -> bool:
        """Tell whether *key*, which has signed *claims*, hasn't been withdrawn."""

    def check(self, claims: Mapping[str, Any]) -> None:
        """Refuse claims, signed by a key of here, that this source may not make (TokenRefusedError)."""

    @property
    def problem(self) -> str | None:
        """Why the last attempt to have them failed."""

    @property
    def retry_after(self) -> float:
        """Seconds until they may be looked for again."""

    @property
    def overdue(self) -> bool:
        """Whether they are so old that :meth:`renew` should be awaited before they are used."""

    def touch(self) -> None:
        """Have them fetched in the background if they are old; returns at once."""

    async def renew(self) -> None:
        """Fetch them unless that was done a moment ago; several callers wait for the same fetch."""

    async def aclose(self) -> None:
        """Stop; may be called twice."""


class FetchedKeys:
    """The keys of a document that is fetched: a JWKS behind a URL, or a file.

    Args:
        name: what it is called in messages; without credentials.
        fetch: returns the document; any exception means that it couldn't.
        issuers: ``iss`` of its tokens must be one of them; None: anybody's.
        audiences: ``aud`` of its tokens must name one of them; None: anybody's.
        clock: monotonic seconds.
        rng: source of randomness for the cool-down.
        timeout: seconds that *fetch* may take.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        issuers: Collection[str] | None = None,
        audiences: Collection[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        timeout: float = FETCH_TIMEOUT,
    ) -> None:
        self.name = name
        self.problem: str | None = None
        self.fetches = 0
        """How often it was fetched, or tried to be."""
        self._fetch = fetch
        self._issuers = issuers
        self._audiences = audiences
        self._clock = clock
        self._rng = random.Random() if rng is None else rng  # noqa: S311 - spreads load, keeps no secret
        self._timeout = timeout
        self._keys: tuple[PublicKey, ...] = ()
        self._confirmed: float | None = None
        self._failures = 0
        self._next = clock()
        self._told: tuple[str, ...] = ()
        self._flight: asyncio.Task[None] | None = None
        self._closed = False

    def _age(self) -> float:
        return float("inf") if self._confirmed is None else self._clock() - self._confirmed

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """What is known."""
        return self._keys if self._age() < KEEP else ()

    @property
    def empty(self) -> bool:
        """Whether no key is known."""
        return not self.keys

    def candidates(self, token: Token) -> Sequence[PublicKey]:
        """Return the keys that may have signed *token*."""
        return fitting(self.keys, token)

    def holds(self, key: PublicKey, claims: Mapping[str, Any]) -> bool:  # noqa: ARG002 - any of its claims
        """Tell whether *key* hasn't been withdrawn."""
        return key in self.keys

    def check(self, claims: Mapping[str, Any]) -> None:
        """Refuse claims of an issuer, or for an audience, that isn't the one expected (TokenRefusedError)."""
        check_parties(claims, issuers=self._issuers, audiences=self._audiences)

    @property
    def retry_after(self) -> float:
        """Seconds until they may be fetched again."""
        return max(0.0, self._next - self._clock())

    @property
    def overdue(self) -> bool:
        """Whether they are very old, and nothing but a lack of demand is to blame."""
        return self._confirmed is not None and not self._failures and self._age() > 3 * FRESH

    def touch(self) -> None:
        """Fetch in the background if what is known is old; needs the running event loop."""
        if self._age() > FRESH:
            self._take_off()

    async def renew(self) -> None:
        """Fetch, or wait for the fetch that is under way; return at once within the cool-down."""
        flight = self._take_off()
        if flight is not None:
            # Whoever waits may go, the others still want it; and it ends quietly with this source.
            await asyncio.wait([flight])

    def _take_off(self) -> asyncio.Task[None] | None:
        if self._flight is None and not self._closed and self._clock() >= self._next:
            self._flight = asyncio.create_task(self._fly(), name=f"peerage: keys of {self.name}")
        return self._flight

    async def _fly(self) -> None:
        self.fetches += 1
        try:
            async with asyncio.timeout(self._timeout):
                document = await self._fetch()
            self._adopt(document)
        except TimeoutError:
            self._fail(f"no answer within {self._timeout:g} s")
        except Exception as error:  # noqa: BLE001 - whatever it is: what is known stays, and it is told
            self._fail(str(error) or type(error).__name__)
        finally:
            self._flight = None

    def _adopt(self, document: bytes) -> None:
        found = read_key_set(document)
        if found.problems != self._told:
            self._told = found.problems
            for problem in found.problems:
                log.warning("Public keys of %s: %s", self.name, problem)
        if self.problem is not None:
            log.warning("Public keys of %s are there again: %d", self.name, len(found.keys))
        self._keys = found.keys
        self._confirmed = self._clock()
        self._failures, self.problem = 0, None if found.keys else "there is no usable key in it"
        self._cool_down(COOL_DOWN)

    def _fail(self, problem: str) -> None:
        if self.problem is None:
            log.warning(
                "Public keys of %s can't be fetched: %s. %s",
                self.name,
                problem.rstrip("."),
                "Those that are known stay in use." if self.keys else "No token of theirs can be verified.",
            )
        self.problem = problem.rstrip(".")
        self._cool_down(min(_FIRST_RETRY * 2**self._failures, _LAST_RETRY))
        self._failures = min(self._failures + 1, 10)

    def _cool_down(self, seconds: float) -> None:
        self._next = self._clock() + seconds * (1 + self._rng.random() * _JITTER)

    async def aclose(self) -> None:
        """Stop fetching; what is known stays."""
        self._closed = True
        flight = self._flight
        if flight is not None:
            flight.cancel()
            await asyncio.wait([flight])


def read_file(path: str | Path) -> Callable[[], Awaitable[bytes]]:
    """Return what fetches *path*, in a thread."""
    return lambda: asyncio.to_thread(Path(path).read_bytes)
