"""Cluster tokens: internal tokens as ASAB has them, signed with one private key that all services share.

Each process that can read the key is a superuser of every service, so the key is as secret as the registry
keeps it: a file that only its owner can read, or a ZooKeeper node with an access list. Tokens that speak for
one instance are made in :mod:`peerage.auth.instance_tokens`.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from contextvars import Context
from typing import Final

from cachetools import TTLCache

from peerage.auth.jose import PrivateKey, PublicKey
from peerage.auth.principal import SUPERUSER
from peerage.auth.saved_key import SavedKey
from peerage.auth.verifier import KeySource
from peerage.errors import KeysUnavailableError, RegistryClosedError
from peerage.records.identity import Identity
from peerage.registry import KEY_NAME, Secrets
from peerage.timing import monotonic, wall_clock

log = logging.getLogger(__name__)

#: Seconds that a token is valid (ASAB), and that are left when it is replaced.
LIFETIME: Final = 1800.0
RENEWAL: Final = 600.0

#: Seconds for which tokens of the previous key are accepted: their lifetime, and the 300 s after which the
#: original looks for a new key, during which it signs with the old one.
_PREVIOUS: Final = LIFETIME + 300 + 60

#: A token, and the seconds since the epoch at which it was issued and expires.
_NO_TOKEN: Final = ("", 0.0, 0.0)


class ClusterTokens(KeySource):
    """Issues cluster tokens, and has the keys that verify those of others.

    The key is obtained, or made if there is none, with the first call that needs it, and followed from then
    on. The object belongs to the event loop of that call. Tokens may make any claims, as a process that has
    the key could.

    Args:
        secrets: of the registry.
        identity: called for each new token, because the environment may be set while the service starts.
        name: of the secret.
        saved: keeps the key on disk; None: nothing does.
        out_of_reach: returns why the registry is out of reach; None while it isn't.
        clock: seconds since the epoch.
        monotonic: monotonic seconds.
        wait: seconds that a caller waits for the key, at most.
        retry: seconds until a registry that refused the key is asked again, or the clock read again.
    """

    def __init__(
        self,
        secrets: Secrets,
        identity: Callable[[], Identity],
        *,
        name: str = KEY_NAME,
        saved: SavedKey | None = None,
        out_of_reach: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = wall_clock,
        monotonic: Callable[[], float] = monotonic,
        wait: float = 5.0,
        retry: float = 15.0,
    ) -> None:
        self.name = f"the cluster ({name})"
        self._secrets = secrets
        self._identity = identity
        self._secret = name
        self._saved = saved
        self._out_of_reach = out_of_reach
        self._clock = clock
        self._wait = wait
        self._retry = retry
        self._problem: str | None = None
        self._key: PrivateKey | None = None
        self._previous: TTLCache[PublicKey, None] = TTLCache(math.inf, _PREVIOUS, timer=monotonic)
        self._token = _NO_TOKEN
        self._settled = asyncio.Event()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._closed = False

    async def header(self, _host: str) -> str:
        """Return :meth:`token` as an ``Authorization`` header, which is the same for every host."""
        return f"Bearer {await self.token()}"

    async def token(self) -> str:
        """Return a superuser's token, valid for at least ten minutes, that every service accepts.

        Raises:
            KeysUnavailableError: there is no key to sign with.
        """
        if (waiting := self.refresh(missing=self._key is None)) is not None:
            await waiting
        if self._key is None:
            raise self._no_key()
        now = self._clock()
        token, issued, expires = self._token
        # If the clock was set back, the token would be one from the future.
        if issued <= now < expires - RENEWAL:
            return token
        identity = self._identity()
        url, times = _own_url(identity), {"iat": int(now), "exp": int(now + LIFETIME)}
        parties = {"iss": url, "azp": url, "aud": f"http://{identity.host}"}
        token = self._key.sign({**parties, **times, "resources": {"*": [SUPERUSER]}})
        self._token = (token, now, now + LIFETIME)
        return token

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The key, and previous ones whose tokens are still accepted."""
        # This runs with every request, and even an empty cache reads the clock when it is iterated.
        previous = self._previous if self._previous.currsize else ()
        return () if self._key is None else (self._key.public, *previous)

    def unavailable(self) -> KeysUnavailableError | None:
        """Return the error that says why there is no key; None if there is one."""
        return self._no_key() if self._key is None else None

    def _no_key(self) -> KeysUnavailableError:
        return KeysUnavailableError(
            f"There is no key for internal authorization: {self._problem or 'it was not read yet'}. "
            f"Check that the registry is in touch and lets this process read {self._secret}.",
            retry_after=self._wait,
        )

    def refresh(self, *, missing: bool = False) -> Awaitable[object] | None:
        """Begin to follow the key if that wasn't done before; needs the running event loop.

        What it returns takes a few seconds at most. It is None unless there is no key and one is *missing*.
        """
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._run(), name=f"peerage: {self._secret}", context=Context())
            if self._saved is not None:
                self._saved.start()
                name = f"peerage: load {self._secret}"
                self._loading = asyncio.create_task(self._load(self._saved), name=name, context=Context())
        return self._wait_for_key() if missing and self._key is None and not self._closed else None

    async def wait_changed(self, known: Collection[PublicKey]) -> tuple[PublicKey, ...]:
        """Return :attr:`keys` once they differ from *known*, for a caller that keeps a copy of them."""
        self.refresh()
        while {*(keys := self.keys)} == {*known}:
            # Only the clock shows that a previous key has ended.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._retry if self._previous else None):
                    await self._changed.wait()
            self._changed.clear()
        return keys

    async def _wait_for_key(self) -> None:
        try:
            async with asyncio.timeout(self._wait):
                await self._settled.wait()
        except TimeoutError:
            # From now on callers get the error at once, until the key arrives.
            reason = self._out_of_reach()
            self._warn("the registry doesn't answer" + ("" if reason is None else f" ({reason.rstrip('.')})"))

    async def _run(self) -> None:
        while True:
            try:
                self._keep(await self._secrets.obtain(self._secret, lambda: PrivateKey.generate().write()))
                await self._follow()
            except RegistryClosedError:
                return
            except Exception as error:  # noqa: BLE001 - whatever the registry raises is logged, and tried again
                self._warn(str(error) or type(error).__name__)
            await asyncio.sleep(self._retry)

    async def _follow(self) -> None:
        values = self._secrets.follow(self._secret)
        try:
            async for value in values:
                self._keep(value)
        finally:
            # An async iterator needn't have aclose(); one that has must not be left to the garbage collector.
            if (close := getattr(values, "aclose", None)) is not None:
                await close()

    async def _load(self, saved: SavedKey) -> None:
        """Use the key on disk while the registry is out of reach, if nothing is known of it yet."""
        try:
            found = await saved.load()
        except RegistryClosedError:
            return
        if found is not None and self._key is None:
            value, age = found
            log.warning(
                "The key for internal authorization, %s, is the one that was saved on disk %.0f s ago, "
                "because the registry is out of reach",
                self._secret,
                age,
            )
            self._adopt(value)

    def _keep(self, value: bytes) -> None:
        """Use the key that the registry has, and save it where that is wanted."""
        if self._adopt(value) and self._saved is not None:
            self._saved.keep(value)

    def _adopt(self, value: bytes) -> bool:
        """Use a key, and return whether it is one."""
        try:
            key = PrivateKey.read(value)
        except ValueError as error:
            self._warn(f"{error}; remove it, and a new one will be made")
            return False
        self._problem = None
        self._settled.set()
        if self._key is None or key.public != self._key.public:
            if self._key is not None:
                log.warning("The key for internal authorization, %s, was replaced", self._secret)
                self._previous[self._key.public] = None
            self._previous.pop(key.public, None)
            self._key, self._token = key, _NO_TOKEN
            self._changed.set()
        return True

    def _warn(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("The key for internal authorization, %s, can't be used: %s", self._secret, problem)
        self._problem = problem.rstrip(".")
        self._settled.set()

    async def aclose(self) -> None:
        """Stop following the key; may be called twice."""
        self._closed = True
        self._settled.set()
        tasks = [task for task in (self._task, self._loading) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._saved is not None:
            await self._saved.aclose()


def _own_url(identity: Identity) -> str:
    """Return the URL by which others call this process: of its instance, its service, or its host (ASAB)."""
    for key, value in (("instance_id", identity.instance_id), ("service_id", identity.service_id)):
        if value:
            return f"http://{value}.{key}.asab"
    return f"http://{identity.host}"
