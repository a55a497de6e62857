"""Web servers: a :class:`WebContainer` is an aiohttp application with the addresses on which it listens.

``asab.web.rest`` and the other modules are loaded on first use.
"""

from typing import TYPE_CHECKING, Final

from peerage.asab.absent import ABSENT
from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.asab.web import auth as auth
    from peerage.asab.web import rest
    from peerage.asab.web.container import WebContainer
    from peerage.asab.web.service import Module, WebService, create_web_server

__all__ = ["Module", "WebContainer", "WebService", "create_web_server", "rest"]

_HOME_OF: Final = {**dict.fromkeys(__all__, "service"), "WebContainer": "container"}
_MODULES: Final = {"auth", "rest", *(name.removeprefix("web.") for name in ABSENT if name.startswith("web."))}

if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), _HOME_OF, _MODULES)
