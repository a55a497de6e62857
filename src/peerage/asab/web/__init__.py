"""Web servers: a :class:`WebContainer` is an aiohttp application with the addresses on which it listens.

``asab.web.rest`` and the other modules are loaded on first use.
"""

from typing import TYPE_CHECKING, Any, Final

from peerage.asab.absent import ABSENT, refuse
from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.asab.web import auth as auth
    from peerage.asab.web import rest
    from peerage.asab.web.container import WebContainer
    from peerage.asab.web.service import Module, WebService, create_web_server

_HOME_OF: Final = {
    "Module": "service",
    "WebContainer": "container",
    "WebService": "service",
    "create_web_server": "service",
}

__all__ = ["Module", "WebContainer", "WebService", "create_web_server", "rest"]

_load: Final = loader(__name__, globals(), _HOME_OF, frozenset({"auth", "rest"}))

if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid

    def __getattr__(name: str) -> Any:
        if f"web.{name}" in ABSENT:
            refuse(f"web.{name}")
        return _load(name)


def __dir__() -> list[str]:
    return [*__all__]
