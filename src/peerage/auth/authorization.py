"""What one Discovery has to do with authorization, put together when it is first asked for."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from peerage.auth.exposure import exposure
from peerage.auth.fetching import fetched_keys
from peerage.auth.internal import KEY_NAME, InternalAuthority
from peerage.auth.sources import KeySource
from peerage.auth.strict import InstanceAuthority, InstanceKeys, url_of
from peerage.auth.verifier import Verifier
from peerage.directory import Directory
from peerage.errors import ConfigurationError
from peerage.records.identity import Identity
from peerage.registry import Registry

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Authorization", "Facade"]

log = logging.getLogger(__name__)

#: Whose key internal tokens are signed with: the one that the cluster shares, or each instance's own.
MODES: Final = ("shared", "instance")


class Facade(Protocol):
    """What it is put together from: a Discovery."""

    registry: Registry
    key_root: str
    """The path below which the cluster's key is; empty for the root."""

    @property
    def directory(self) -> Directory:
        """The instances known."""

    def identity(self) -> Identity:
        """Return who this process is."""

    def own_ids(self) -> Collection[tuple[str, str]]:
        """Return the ``(key, value)`` pairs, folded, by which this process is called."""

    def session(self) -> "aiohttp.ClientSession":
        """Return a session without authorization."""

    async def ready(self) -> None:
        """Wait until the registry was read once; NotReadyError if it isn't in time."""

    @property
    def age(self) -> float:
        """Seconds since what is known was certain; infinite if it never was."""


class Authorization:
    """Makes verifiers and the one authority for internal tokens, and closes them: ``discovery.auth``.

    Args:
        facade: whose they are.
        mode: one of MODES.

    Raises:
        ConfigurationError: *mode* is none of them.
    """

    def __init__(self, facade: Facade, mode: str) -> None:
        if mode not in MODES:
            raise ConfigurationError(f"authorization={mode!r} isn't known: write 'shared' or 'instance'.")
        self._facade = facade
        self._own = InstanceAuthority(facade.identity) if mode == "instance" else None
        self._internal: InternalAuthority | None = None
        self._verifiers: list[Verifier] = []
        self._told_of_exposure = False

    @property
    def record_key(self) -> dict[str, Any] | None:
        """The public key for the record of this instance, None if it needs none."""
        return None if self._own is None else self._own.public.as_dict()

    def header(
        self, resources: Mapping[str, Sequence[str]] | None = None
    ) -> Callable[[str], Awaitable[str | None]]:
        """Return what gives the ``Authorization`` header for a host.

        Args:
            resources: what the tokens allow; with the key of the cluster always everything.

        Raises:
            ConfigurationError: it isn't said where it must be, or is where it can't be.
        """
        own = self._own
        if own is None:
            if resources is not None:
                raise ConfigurationError(
                    "Tokens of the cluster's key allow everything: leave 'resources' out, or write "
                    "Discovery(authorization='instance') in all services."
                )
            return self.internal().header
        if resources is None:
            raise ConfigurationError(
                "Say what the tokens of this session are to allow: resources={'*': ['orders:read']}."
            )
        chosen = {tenant: list(allowed) for tenant, allowed in resources.items()}

        async def header(host: str) -> str:
            return f"Bearer {own.token(host, chosen)}"

        return header

    def internal(self) -> InternalAuthority:
        """Return the authority for tokens of the cluster's key.

        Raises:
            ConfigurationError: the registry can't keep secrets.
        """
        if self._internal is None:
            registry = self._facade.registry
            if registry.secrets is None:
                raise ConfigurationError(
                    f"Internal authorization needs a shared key, and the registry {registry.url} can't "
                    "keep one: use embedded: or zookeeper:, or authorization='instance'."
                )
            self._internal = InternalAuthority(
                registry.secrets, self._facade.identity, name=f"{self._facade.key_root}{KEY_NAME}"
            )
        return self._internal

    def _internal_keys(self) -> KeySource:
        if self._own is None:
            return self.internal()
        facade = self._facade
        return InstanceKeys(
            facade.directory,
            ready=facade.ready,
            is_ready=lambda: math.isfinite(facade.age),
            names=lambda: {url_of(key, value) for key, value in facade.own_ids()},
        )

    def verifier(
        self,
        public_keys_url: str | Sequence[str] = (),
        public_keys_file: str | Path | Sequence[str | Path] = (),
        *,
        ca: str | Path | None = None,
        internal: bool = True,
        issuers: Collection[str] | None = None,
        audiences: Collection[str] | None = None,
    ) -> Verifier:
        """Return what verifies the tokens of those who call; closed with the Discovery.

        Args:
            public_keys_url: of the keys (JWKS) of who issues users' tokens, or several; may be a ``.asab``
                one: ``http://seacat-auth.service_id.asab/.well-known/jwks.json``.
            public_keys_file: files of keys: a JWKS, a JWK or PEM.
            ca: PEM file of authorities for https URLs, instead of the system's.
            internal: whether internal tokens of other services are accepted.
            issuers: the only ``iss`` accepted of users' tokens; None: any.
            audiences: ``aud`` of users' tokens must name one of them; None: any.

        Raises:
            ConfigurationError: a URL or file can't work, or nobody's tokens would be accepted.
        """
        urls = [public_keys_url] if isinstance(public_keys_url, str) else public_keys_url
        files = [public_keys_file] if isinstance(public_keys_file, str | Path) else public_keys_file
        if not urls and not files and not internal:
            raise ConfigurationError(
                "Nobody's tokens would be accepted: name a public_keys_url or a public_keys_file, "
                "or accept internal tokens."
            )
        verifier = Verifier(
            fetched_keys(urls, files, self._facade.session, ca=ca, issuers=issuers, audiences=audiences),
            shared=[self._internal_keys()] if internal else (),
        )
        self._verifiers.append(verifier)
        self._tell_of_exposure(urls, internal=internal)
        return verifier

    def _tell_of_exposure(self, urls: Sequence[str], *, internal: bool) -> None:
        mine = "advertise a key of his own as any instance's"
        if self._own is None:
            mine = f"read the cluster's key, {self._facade.key_root}{KEY_NAME}"
        danger = exposure(self._facade.registry, urls, mine if internal else None)
        if danger is not None and not self._told_of_exposure:
            self._told_of_exposure = True
            log.warning("%s", danger)

    async def aclose(self) -> None:
        """Close all of it; may be called twice."""
        ends = [verifier.aclose() for verifier in self._verifiers]
        if self._internal is not None:
            ends.append(self._internal.aclose())
        await asyncio.gather(*ends)
