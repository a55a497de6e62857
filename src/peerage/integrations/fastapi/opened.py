"""A dependency: the open Discovery."""

from typing import Any

from fastapi.requests import HTTPConnection

from peerage.discovery import Discovery
from peerage.errors import ConfigurationError


async def discovery(connection: HTTPConnection) -> Discovery:
    """Return the open Discovery of an application that is advertised with ``discovered``: a dependency.

    Raises:
        ConfigurationError: the application isn't.
    """
    found: Any = getattr(connection.state, "discovery", None)
    if not isinstance(found, Discovery):
        raise ConfigurationError(
            "There is no open Discovery: write app.add_middleware(Discovered, service_id=…) or "
            "app = discovered(app, service_id=…), of peerage.integrations.asgi."
        )
    return found
