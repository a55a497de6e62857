"""Has AuthService of the real asab accept what services of its cluster sign."""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from peerage.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peerage.auth.cluster_tokens import ClusterTokens
    from peerage.auth.jose import PublicKey
    from peerage.discovery import Discovery

__all__ = ["InternalKeys"]

log = logging.getLogger("peerage.asab.api")


class InternalKeys:
    """The public keys of internal tokens, where AuthService looks them up.

    Args:
        app: the application.
        provider: AuthService's of ID tokens.
        authority: follows the keys of the cluster.
    """

    def __init__(self, app: Any, provider: Any, authority: "ClusterTokens") -> None:
        self._authority = authority
        self._make_key = import_module("jwcrypto.jwk").JWK
        self._make_set = import_module("jwcrypto.jwk").JWKSet
        self._keys = import_module("asab.web.auth.providers.key_providers").StaticPublicKeyProvider(app)
        provider.register_key_provider(self._keys)

    @classmethod
    def of(cls, app: Any, discovery: "Discovery") -> "InternalKeys | None":
        """Return those of the AuthService of *app*; None if there is none, or nobody who follows the keys."""
        # It can't be made without jwcrypto.
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
        """Hand them on as they change, until cancelled."""
        keys: tuple[PublicKey, ...] = ()
        while True:
            keys = await self._authority.wait_changed(keys)
            try:
                self._set(keys)
            except Exception:
                log.exception("AuthService can't take the new keys of the cluster, and refuses their tokens")

    def _set(self, keys: "Iterable[PublicKey]") -> None:
        accepted = self._make_set()
        for key in keys:
            accepted.add(self._make_key(**key.as_dict()))
        self._keys.set_public_key(accepted)
