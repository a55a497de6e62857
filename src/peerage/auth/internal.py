"""Internal tokens as ASAB's services have them: one private key that the whole cluster shares.

Whoever can read the key is the superuser of every service, so it is as secret as the registry keeps it: a
file of this user's own, or a node with an access list. Tokens that speak for one instance alone are made in
:mod:`peerage.auth.strict`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from peerage.auth.jose import PrivateKey, PublicKey, Token, fitting
from peerage.auth.principal import SUPERUSER
from peerage.errors import KeysUnavailableError, RegistryClosedError
from peerage.records.identity import Identity
from peerage.registry import Secrets

__all__ = ["KEY_NAME", "InternalAuthority", "own_url"]

log = logging.getLogger(__name__)

#: Where the cluster's key is, whatever the path of the registry.
KEY_NAME: Final = "/asab/auth/internal_auth_private.key"

#: Seconds that a token lives, and how many are left when it is replaced.
LIFETIME: Final = 1800.0
RENEWAL: Final = 600.0

#: Seconds for which tokens of the key before are accepted: they live that long, and the original looks for
#: a new key every 300 s only, signing with the old one meanwhile.
_PREVIOUS: Final = LIFETIME + 300 + 60

#: Seconds that a caller waits for the key; it is there nearly always.
_PATIENCE: Final = 5.0

#: Seconds until a registry that refused the key is asked again.
_RETRY: Final = 15.0


class InternalAuthority:
    """Issues internal tokens, and is the :class:`peerage.auth.KeySource` that verifies those of others.

    The key is obtained, or made if there is none, with the first call that needs it, and followed from then
    on. Belongs to that call's event loop.

    Args:
        secrets: of the registry.
        identity: who issues; asked for each token, as the environment may be set while the service starts.
        name: of the secret.
        clock: seconds since the epoch.
        monotonic: monotonic seconds.
    """

    def __init__(
        self,
        secrets: Secrets,
        identity: Callable[[], Identity],
        *,
        name: str = KEY_NAME,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"the cluster ({name})"
        self.problem: str | None = None
        self._secrets = secrets
        self._identity = identity
        self._secret = name
        self._clock = clock
        self._monotonic = monotonic
        self._key: PrivateKey | None = None
        self._previous: dict[PublicKey, float] = {}
        self._token: tuple[str, float, float] | None = None
        self._settled = asyncio.Event()
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    # Issuing

    async def header(self, _host: str = "") -> str:
        """Return an ``Authorization`` header that is valid for ten minutes at least.

        Raises:
            KeysUnavailableError: there is no key to sign with.
        """
        return f"Bearer {await self.token()}"

    async def token(self) -> str:
        """Return a token that is valid for ten minutes at least: of a superuser, for everybody.

        Raises:
            KeysUnavailableError: there is no key to sign with.
        """
        await self.renew()
        if self._key is None:
            raise KeysUnavailableError(
                f"There is no key for internal authorization: {self.problem or 'the registry is silent'}. "
                f"Check that the registry is in touch and lets this process at {self._secret}.",
                retry_after=_PATIENCE,
            )
        now = self._clock()
        if self._token is not None:
            token, issued, expires = self._token
            # A clock that was set back makes a token from the future of it.
            if issued <= now < expires - RENEWAL:
                return token
        token = self._key.sign(self._claims(now))
        self._token = (token, now, now + LIFETIME)
        return token

    def _claims(self, now: float) -> dict[str, Any]:
        identity = self._identity()
        url = own_url(identity)
        return {
            "iss": url,
            "azp": url,
            "aud": f"http://{identity.host}",
            "iat": int(now),
            "exp": int(now + LIFETIME),
            "resources": {"*": [SUPERUSER]},
        }

    # Verifying

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The key, and those before it whose tokens may be under way."""
        now = self._monotonic()
        current = () if self._key is None else (self._key.public,)
        return (*current, *(key for key, until in self._previous.items() if now < until))

    async def changed(self, known: Collection[PublicKey]) -> tuple[PublicKey, ...]:
        """Return :attr:`keys` once they are others than *known*: for who verifies with a copy of them."""
        self.touch()
        while {*(keys := self.keys)} == {*known}:
            now = self._monotonic()
            # One that isn't accepted any more goes unnoticed else.
            ends = [until - now for until in self._previous.values() if now < until]
            with suppress(TimeoutError):
                async with asyncio.timeout(min(ends, default=None)):
                    await self._moved.wait()
            self._moved.clear()
        return keys

    @property
    def empty(self) -> bool:
        """Whether no key is known."""
        return self._key is None

    @property
    def retry_after(self) -> float:
        """Seconds until it is worth asking again."""
        return _PATIENCE

    @property
    def overdue(self) -> bool:
        """Never: the key is followed."""
        return False

    def candidates(self, token: Token) -> Sequence[PublicKey]:
        """Return the keys that may have signed *token*."""
        return fitting(self.keys, token)

    def holds(self, key: PublicKey, claims: Mapping[str, Any]) -> bool:  # noqa: ARG002 - any of its claims
        """Tell whether tokens of *key* are accepted still."""
        return key in self.keys

    def check(self, claims: Mapping[str, Any]) -> None:
        """Nothing more is asked of them: who has the key may say anything."""

    def touch(self) -> None:
        """Begin to follow the key, if that isn't done; needs the running event loop."""
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._run(), name=f"peerage: {self._secret}")

    async def renew(self) -> None:
        """Wait until the key is known, or known to be refused, for a few seconds at most."""
        self.touch()
        if self._key is None and not self._closed:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._settled.wait()
            except TimeoutError:
                # One that waited is enough: the others learn of the key when it comes.
                self._complain("the registry doesn't answer")

    async def aclose(self) -> None:
        """Stop following; may be called twice."""
        self._closed = True
        self._settled.set()
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # Following

    async def _run(self) -> None:
        while True:
            try:
                self._adopt(await self._secrets.obtain(self._secret, lambda: PrivateKey.generate().write()))
                await self._follow()
            except RegistryClosedError:
                return
            except Exception as error:  # noqa: BLE001 - a refusal, no space: told, and tried again
                self._complain(str(error) or type(error).__name__)
            await asyncio.sleep(_RETRY)

    async def _follow(self) -> None:
        values = self._secrets.follow(self._secret)
        try:
            async for value in values:
                self._adopt(value)
        finally:
            # Not every iterator can be closed; one that can isn't left to the garbage collector.
            if (close := getattr(values, "aclose", None)) is not None:
                await close()

    def _adopt(self, value: bytes) -> None:
        try:
            key = PrivateKey.read(value)
        except ValueError as error:
            self._complain(f"{error}; whoever wrote it there must remove it, and a new one is made")
            return
        self.problem = None
        self._settled.set()
        if self._key is None or key.public != self._key.public:
            if self._key is not None:
                log.warning("The key for internal authorization, %s, is another one now", self._secret)
                self._previous = {
                    old: until for old, until in self._previous.items() if self._monotonic() < until
                }
                self._previous[self._key.public] = self._monotonic() + _PREVIOUS
            self._previous.pop(key.public, None)
            self._key, self._token = key, None
            self._moved.set()

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("The key for internal authorization, %s, can't be used: %s", self._secret, problem)
        self.problem = problem.rstrip(".")
        self._settled.set()


def own_url(identity: Identity) -> str:
    """Return by which URL others know this process: of its instance, its service, or its host."""
    if identity.instance_id:
        return f"http://{identity.instance_id}.instance_id.asab"
    if identity.service_id:
        return f"http://{identity.service_id}.service_id.asab"
    return f"http://{identity.host}"
