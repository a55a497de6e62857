"""The verifier of tokens that ``[auth]`` describes; the URLs of keys may be found by discovery."""

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from peerage.asab.web.auth.settings import AuthSettings
from peerage.asab.web.lookup import find_discovery
from peerage.auth import Verifier
from peerage.auth.fetched_keys import fetched_keys, without_credentials
from peerage.client.fetch import fetch_document
from peerage.errors import ConfigurationError, KeysUnavailableError
from peerage.records.names import is_logical

if TYPE_CHECKING:
    from peerage.asab.application import Application
    from peerage.discovery import Discovery

log = logging.getLogger("peerage.asab.web.auth")

#: Seconds after which a client may try again while there is no discovery yet.
_RETRY: Final = 5.0


class Keys:
    """Makes the verifier on first use, and another one once there is a DiscoveryService."""

    def __init__(self, settings: AuthSettings, app: "Application") -> None:
        self._settings = settings
        self._app = app
        self._discovery: Discovery | None = None
        self._verifier: Verifier | None = None
        self._own: list[Verifier] = []

    def check(self) -> None:
        """Log if there are no keys, so that each token is refused.

        It raises ConfigurationError if a URL needs discovery and there is no DiscoveryService.
        """
        if find_discovery(self._app) is not None:
            return
        for url in self._logical():
            raise ConfigurationError(
                f"[auth] public_keys_url={without_credentials(url)} is found by discovery, and there is "
                "no asab.DiscoveryService: make an ApiService and call its initialize_zookeeper(), which "
                "works without a ZooKeeper server as well; or write a URL of another host."
            )
        if not self._settings.urls and not self._settings.files:
            log.warning(
                "Without keys to verify tokens, each request is refused: set public_keys_url in [auth]"
            )

    def verifier(self) -> Verifier:
        """Return the verifier.

        Raises:
            KeysUnavailableError: there is no discovery yet.
            ConfigurationError: a URL or a file can't work.
        """
        discovery = find_discovery(self._app)
        if self._verifier is None or discovery is not self._discovery:
            self._verifier, self._discovery = self._make(discovery), discovery
        return self._verifier

    async def aclose(self) -> None:
        """Stop fetching."""
        for verifier in self._own:
            await verifier.aclose()

    def _make(self, discovery: "Discovery | None") -> Verifier:
        urls, files, options = self._settings.urls, self._settings.files, self._settings.options
        if discovery is not None:
            internal = discovery.registry.secrets is not None
            if internal or urls or files:
                return discovery.auth.verifier(urls, files, internal=internal, **options)
        elif self._logical():
            raise KeysUnavailableError("There is no asab.DiscoveryService yet.", _RETRY)
        fetch = partial(fetch_document, aiohttp.ClientSession)
        verifier = Verifier(fetched_keys(urls, files, fetch, **options))
        self._own.append(verifier)
        return verifier

    def _logical(self) -> list[str]:
        """Return the URLs of keys that are found by discovery."""
        return [url for url in self._settings.urls if is_logical(_host(url))]


def _host(url: str) -> str | None:
    try:
        return URL(url).host
    except ValueError:
        # Fetching it raises an error that says what is wrong.
        return None
