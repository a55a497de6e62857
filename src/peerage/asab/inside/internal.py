"""Makes the AuthService of the real asab accept the internal tokens of its cluster."""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from peerage.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peerage.auth.cluster_tokens import ClusterTokens
    from peerage.auth.jose import PublicKey
    from peerage.discovery import Discovery

log = logging.getLogger("peerage.asab.api")


class InternalKeys:
    """The public keys of internal tokens, as a key provider of AuthService."""

    def __init__(self, app: Any, provider: Any, authority: "ClusterTokens") -> None:
        self._authority = authority
        self._make_key = import_module("jwcrypto.jwk").JWK
        self._make_set = import_module("jwcrypto.jwk").JWKSet
        self._keys = import_module("asab.web.auth.providers.key_providers").StaticPublicKeyProvider(app)
        provider.register_key_provider(self._keys)

    @classmethod
    def of(cls, app: Any, discovery: "Discovery") -> "InternalKeys | None":
        """Return the keys for the AuthService of *app*; None without AuthService or the auth extra."""
        # AuthService needs jwcrypto, so that is installed.
        service = app.get_service("asab.AuthService")
        provider = None if service is None else service.get_provider("id_token")
        if provider is None:
            return None
        try:
            return cls(app, provider, discovery.auth.cluster_tokens())
        except MissingExtraError as error:
            log.warning("AuthService will refuse the internal tokens of other services. %s", error)
            return None

    async def run(self) -> None:
        """Give the keys to AuthService at each change, until cancelled."""
        keys: tuple[PublicKey, ...] = ()
        while True:
            keys = await self._authority.wait_changed(keys)
            try:
                self._set(keys)
            except Exception:
                log.exception("AuthService can't use the new keys of the cluster, so it refuses their tokens")

    def _set(self, keys: "Iterable[PublicKey]") -> None:
        accepted = self._make_set()
        for key in keys:
            accepted.add(self._make_key(**key.as_dict()))
        self._keys.set_public_key(accepted)
