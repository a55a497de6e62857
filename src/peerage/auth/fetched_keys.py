"""Keys out of a document that is fetched: kept, fetched again when old, one fetch at a time."""

import asyncio
import json
import logging
import math
import random
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from contextvars import Context
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from yarl import URL

from peerage.auth.claims import check_parties
from peerage.auth.jose import PublicKey, read_key, read_pem
from peerage.auth.verifier import KeySource
from peerage.errors import ConfigurationError, KeysUnavailableError
from peerage.timing import monotonic

log = logging.getLogger(__name__)

#: Seconds for which keys are fresh. Older ones are used while they are fetched again. Once they are three
#: times as old, a request waits for that fetch.
FRESH: Final = 300.0

#: Seconds for which keys stay in use while they can't be fetched.
KEEP: Final = 24 * 3600.0

#: Seconds between two fetches; after a failure the pause begins shorter and doubles with each further one.
COOL_DOWN: Final = 10.0
_FIRST_RETRY: Final = 2.0
_LAST_RETRY: Final = 30.0

#: Share by which each pause is lengthened at random, so that the services of a cluster don't fetch in step.
_JITTER: Final = 0.5

#: Keys of one set, at most, because a token without a kid is tried against each that fits; and problems.
KEYS_LIMIT: Final = 64
_REPORTED: Final = 8


class Fetch(Protocol):
    """Fetches a document over http or https, also of a ``.asab`` name, in a session without authorization."""

    async def __call__(self, url: str, *, tls: ssl.SSLContext | None) -> bytes:
        """Return the document behind *url*; *tls* verifies the server, None: by the system's authorities."""


class FetchedKeys(KeySource):
    """The keys of a JWKS behind a URL, or in a file.

    Args:
        name: how messages call it; without credentials.
        fetch: returns the document; any exception means that it can't be had.
        issuers: one or several; ``iss`` of the tokens must be one of them; None: any.
        audiences: one or several; ``aud`` of the tokens must name one of them; None: any.
        clock: monotonic seconds.
        rng: for the pauses.
        timeout: seconds that *fetch* may take.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        issuers: str | Collection[str] | None = None,
        audiences: str | Collection[str] | None = None,
        clock: Callable[[], float] = monotonic,
        rng: random.Random | None = None,
        timeout: float = 5.0,
    ) -> None:
        self.name = name
        self._fetch = fetch
        self._issuers = _several(issuers)
        self._audiences = _several(audiences)
        self._clock = clock
        self._rng = random.Random() if rng is None else rng  # noqa: S311 - spreads load, keeps no secret
        self._timeout = timeout
        self.fetched = 0
        """How often the keys were fetched."""
        self.not_fetched = 0
        """How often they couldn't be."""
        self._keys: tuple[PublicKey, ...] = ()
        self._fetched_at = -math.inf
        self._failures = 0
        self._next_fetch = clock()
        self._problem: str | None = None
        self._logged: tuple[str, ...] = ()
        self._fetching: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The keys that are known."""
        return self._keys if self._clock() - self._fetched_at < KEEP else ()

    def check(self, claims: Mapping[str, Any]) -> None:
        """Refuse claims of an issuer, or for an audience, that isn't accepted (TokenRefusedError)."""
        check_parties(claims, self._issuers, self._audiences)

    def unavailable(self) -> KeysUnavailableError | None:
        """Return the error that says why no key is known; None if one is."""
        if self.keys:
            return None
        return KeysUnavailableError(
            f"There are no public keys of {self.name}: {self._problem or 'not fetched yet'}. "
            "Check that it runs and can be reached from here.",
            retry_after=max(1.0, math.ceil(self._next_fetch - self._clock())),
        )

    def refresh(self, *, missing: bool = False) -> Awaitable[object] | None:
        """Begin a fetch if the keys are old or *missing*; needs the running event loop.

        It returns None while old keys may be used, and within the pause after a fetch.
        """
        age = self._clock() - self._fetched_at
        if not missing and age <= FRESH:
            return None
        if self._fetching is None and not self._closed and self._clock() >= self._next_fetch:
            # In a context of its own: the deadline of the request that needs them first isn't that of others.
            self._fetching = asyncio.create_task(
                self._run_fetch(), name=f"peerage: keys of {self.name}", context=Context()
            )
        # Very old keys are used without waiting if the issuer, and not a lack of requests, is to blame.
        overdue = not self._failures and 3 * FRESH < age < math.inf
        if self._fetching is None or not (missing or overdue):
            return None
        # Not the task itself: cancelling one of those who wait must not cancel the fetch for the others.
        return asyncio.wait([self._fetching])

    async def aclose(self) -> None:
        """Stop fetching; the keys that are known stay. It may be called twice."""
        self._closed = True
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _run_fetch(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                document = await self._fetch()
            self._adopt(document)
        except TimeoutError:
            self._note_failure(f"no answer within {self._timeout:g} s")
        except Exception as error:  # noqa: BLE001 - the keys that are known stay, and the log says why
            self._note_failure(_one_line(str(error)) or type(error).__name__)
        finally:
            self._fetching = None

    def _adopt(self, document: bytes) -> None:
        self._keys, problems = read_key_set(document)
        if problems != self._logged:
            self._logged = problems
            for problem in problems:
                log.warning("Public keys of %s: %s", self.name, problem)
        if self._problem is not None:
            log.warning("Public keys of %s can be fetched again: %d keys", self.name, len(self._keys))
        self.fetched += 1
        self._fetched_at = self._clock()
        self._failures, self._problem = 0, None if self._keys else "there is no usable key in it"
        self._pause(COOL_DOWN)

    def _note_failure(self, problem: str) -> None:
        self.not_fetched += 1
        problem = problem.rstrip(".")
        if self._problem is None:
            known = f"The known keys stay in use for up to {KEEP / 3600:g} hours."
            effect = known if self.keys else "Its tokens can't be verified until then."
            log.warning("Public keys of %s can't be fetched: %s. %s", self.name, problem, effect)
        self._problem = problem
        self._pause(min(_FIRST_RETRY * 2**self._failures, _LAST_RETRY))
        self._failures = min(self._failures + 1, 10)

    def _pause(self, seconds: float) -> None:
        self._next_fetch = self._clock() + seconds * (1 + self._rng.random() * _JITTER)


def _several(names: str | Collection[str] | None) -> frozenset[str] | None:
    # A string is a collection of strings, too: of its characters.
    return None if names is None else frozenset((names,) if isinstance(names, str) else names)


def _one_line(text: str) -> str:
    """Return *text* as it may be logged: the server that was asked may have chosen parts of it."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def read_key_set(data: bytes) -> tuple[tuple[PublicKey, ...], tuple[str, ...]]:
    """Read a JWKS (``{"keys": […]}``), a single JWK, or a PEM; ValueError if it is none of these.

    It returns the keys, and one sentence for each that can't be used, which quotes nothing of it. Keys for
    encryption are skipped silently.
    """
    if data.lstrip().startswith(b"-----BEGIN"):
        return (read_pem(data),), ()
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
    problems = []
    for number, jwk in enumerate(published[:KEYS_LIMIT]):
        if isinstance(jwk, dict) and jwk.get("use") == "enc":
            continue
        try:
            found[read_key(jwk)] = None
        except ValueError as error:
            problems.append(f"Key {number} is skipped: {error}.")
    if len(published) > KEYS_LIMIT:
        problems.append(f"It has {len(published)} keys; only the first {KEYS_LIMIT} are read.")
    return (*found,), (*problems[:_REPORTED],)


def fetched_keys(
    urls: Iterable[str],
    files: Iterable[str | Path],
    fetch: Fetch,
    *,
    ca: str | Path | None = None,
    issuers: str | Collection[str] | None = None,
    audiences: str | Collection[str] | None = None,
) -> list[FetchedKeys]:
    """Return one key source for each of *urls* and *files*. It reads *ca*, so call it early.

    Arguments and errors are those of :meth:`peerage.auth.authorization.Authorization.verifier`.
    """
    tls = None if ca is None else tls_context(ca)
    sources: list[tuple[str, Callable[[], Awaitable[bytes]]]] = []
    for url in urls:
        _check_url(url)
        sources.append((without_credentials(url), partial(fetch, url, tls=tls)))
    sources += [(str(file), read_file(file)) for file in files]
    return [FetchedKeys(name, get, issuers=issuers, audiences=audiences) for name, get in sources]


def read_file(path: str | Path) -> Callable[[], Awaitable[bytes]]:
    """Return a function that reads *path* in a thread."""
    return lambda: asyncio.to_thread(Path(path).read_bytes)


def without_credentials(url: str) -> str:
    """Return *url* as it may be logged: without user, password, query and fragment."""
    return str(URL(url).with_user(None).with_query(None).with_fragment(None))


def _check_url(url: str) -> None:
    parsed = URL()
    with suppress(ValueError):
        parsed = URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        # A URL with credentials isn't shown.
        shown = "" if "@" in url or "?" in url else f" {url!a}"
        raise ConfigurationError(
            f"The URL of public keys{shown} can't work: write "
            "http://seacat-auth.service_id.asab/.well-known/jwks.json, or any http or https URL of a JWKS."
        )


def tls_context(ca: str | Path) -> ssl.SSLContext:
    """Read the PEM file *ca*, and return what verifies servers by the authorities in it, and by no others.

    It raises ConfigurationError if the file isn't there, or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"The authorities in {str(ca)!a} can't be read: {error}. Name a file of PEM certificates."
        ) from error
    # Some distributions' Python, Debian's among them, allows older versions by default.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
