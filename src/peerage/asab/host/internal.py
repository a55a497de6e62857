"""Internal authorization as the real asab has it."""

import asyncio
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
            self._auth = _class(container)(app, container)

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
        if not self._auth.certain:
            raise RuntimeError(
                "session(auth='internal'): the key of the cluster isn't read yet. It is as soon as the "
                "application runs and its ZooKeeper container is connected."
            )
        header: str = self._auth.get_authorization_header()
        return header


def _class(container: Any) -> Any:
    base: Any = import_module("asab.api.internal_auth").InternalAuth

    class InternalAuth(base):  # type: ignore[misc] # known when it runs
        """The framework's, which asks ZooKeeper on the event loop, however long that takes, and but once."""

        #: Whether the key is the one that stands in ZooKeeper. A version that reads it otherwise is trusted.
        certain = not hasattr(base, "_ensure_private_key")

        def _schedule_key_and_token_update(self, *args: Any, **kwargs: Any) -> None:
            # Else it is called when there is a connection.
            if container.is_connected():
                super()._schedule_key_and_token_update(*args, **kwargs)

        async def _ensure_private_key(self) -> bool:
            ensure = super()._ensure_private_key
            # A coroutine that awaits nothing. Again, because if another service makes the key at the same
            # moment, it keeps its own, which nobody else has.
            first: bool = await container.ProactorService.execute(lambda: asyncio.run(ensure()))
            again: bool = await container.ProactorService.execute(lambda: asyncio.run(ensure()))
            self.certain = True
            return first or again

    return InternalAuth
