"""Internal authorization as the real asab has it."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from peerage.errors import MissingExtraError

__all__ = ["FrameworkAuthorization"]


class FrameworkAuthorization:
    """Signs with the key that all services of the cluster share, and has AuthService accept it.

    Args:
        app: the application.
        container: its ZooKeeper has the key.
    """

    def __init__(self, app: Any, container: Any) -> None:
        self._auth: Any = None
        # Optional there as well.
        if find_spec("jwcrypto") is not None:
            self._auth = import_module("asab.api.internal_auth").InternalAuth(app, container)

    async def initialize(self, app: Any) -> None:
        """Begin."""
        if self._auth is not None:
            await self._auth.initialize(app)

    def header(self) -> str:
        """Return an Authorization header that is valid now.

        Raises:
            MissingExtraError: a package is missing.
            RuntimeError: there is no key yet.
        """
        if self._auth is None:
            raise MissingExtraError(
                "session(auth='internal') needs the package jwcrypto: pip install 'asab[authz]'",
                name="jwcrypto",
            )
        header: str = self._auth.get_authorization_header()
        return header
