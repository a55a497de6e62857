"""What one Discovery has to do with authorization, put together when it is first asked for."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from peerage.auth.fetching import fetch_url, tls_context, without_credentials
from peerage.auth.internal import InternalAuthority
from peerage.auth.sources import FetchedKeys, read_file
from peerage.auth.verifier import Verifier
from peerage.errors import ConfigurationError
from peerage.identity import Identity
from peerage.registry import Registry

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Assembly"]


class Assembly:
    """Makes verifiers and the one authority for internal tokens, and closes them.

    Args:
        registry: keeps the key that the cluster shares.
        identity: who this process is.
        session: makes a session without authorization.
    """

    def __init__(
        self,
        registry: Registry,
        identity: Callable[[], Identity],
        session: "Callable[[], aiohttp.ClientSession]",
    ) -> None:
        self._registry = registry
        self._identity = identity
        self._session = session
        self._internal: InternalAuthority | None = None
        self._verifiers: list[Verifier] = []

    def internal(self) -> InternalAuthority:
        """Return the authority for internal tokens.

        Raises:
            ConfigurationError: the registry can't keep secrets.
        """
        if self._internal is None:
            secrets = self._registry.secrets
            if secrets is None:
                raise ConfigurationError(
                    f"Internal authorization needs a shared key, and the registry {self._registry.url} can't "
                    "keep one: use embedded: or zookeeper:."
                )
            self._internal = InternalAuthority(secrets, self._identity)
        return self._internal

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
        """Return a verifier; see :meth:`peerage.Discovery.verifier`."""
        urls = [public_keys_url] if isinstance(public_keys_url, str) else public_keys_url
        files = [public_keys_file] if isinstance(public_keys_file, str | Path) else public_keys_file
        if not urls and not files and not internal:
            raise ConfigurationError(
                "Nobody's tokens would be accepted: name a public_keys_url or a public_keys_file, "
                "or accept internal tokens."
            )
        tls = None if ca is None else tls_context(ca)
        fetches = [(fetch_url(url, self._session, tls=tls), without_credentials(url)) for url in urls]
        fetches += [(read_file(file), str(file)) for file in files]
        verifier = Verifier(
            [FetchedKeys(name, fetch, issuers=issuers, audiences=audiences) for fetch, name in fetches],
            shared=[self.internal()] if internal else (),
        )
        self._verifiers.append(verifier)
        return verifier

    async def aclose(self) -> None:
        """Close all of it; may be called twice."""
        ends = [verifier.aclose() for verifier in self._verifiers]
        if self._internal is not None:
            ends.append(self._internal.aclose())
        await asyncio.gather(*ends)
