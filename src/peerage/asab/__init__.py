"""The documented API of ASAB's applications and Discovery Service, on top of :class:`peerage.Discovery`.

A program written against ASAB's documentation runs with ``import peerage.asab as asab`` instead of
``import asab``. The names are those of ASAB. They are loaded on first use, and so are the modules:
``asab.web.Module`` needs no further import. A module of ASAB that isn't here raises an error with advice.
"""

from typing import TYPE_CHECKING, Any, Final

from peerage.asab import log as _log
from peerage.asab.absent import ABSENT, refuse
from peerage.asab.absent import install as _install_finder
from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.asab import (
        abc,
        api,
        application,
        config,
        contextvars,
        exceptions,
        log,
        pubsub,
        task,
        timer,
        utils,
        web,
        zookeeper,
    )
    from peerage.asab import proactor as proactor
    from peerage.asab import tls as tls
    from peerage.asab.abc.module import Module
    from peerage.asab.abc.service import Service
    from peerage.asab.abc.singleton import Singleton
    from peerage.asab.application import Application
    from peerage.asab.config import Config, ConfigObject, Configurable, ConfigurableDict
    from peerage.asab.log import LOG_NOTICE, LogObsolete
    from peerage.asab.pubsub import PubSub, Subscriber, subscribe
    from peerage.asab.timer import Timer

_HOME_OF: Final = {
    "Application": "application",
    "Config": "config",
    "ConfigObject": "config",
    "Configurable": "config",
    "ConfigurableDict": "config",
    "LOG_NOTICE": "log",
    "LogObsolete": "log",
    "Module": "abc.module",
    "PubSub": "pubsub",
    "Service": "abc.service",
    "Singleton": "abc.singleton",
    "Subscriber": "pubsub",
    "Timer": "timer",
    "subscribe": "pubsub",
}

__all__ = [
    "LOG_NOTICE",
    "Application",
    "Config",
    "ConfigObject",
    "Configurable",
    "ConfigurableDict",
    "LogObsolete",
    "Module",
    "PubSub",
    "Service",
    "Singleton",
    "Subscriber",
    "Timer",
    "abc",
    "api",
    "application",
    "config",
    "contextvars",
    "exceptions",
    "log",
    "pubsub",
    "subscribe",
    "task",
    "timer",
    "utils",
    "web",
    "zookeeper",
]

_log.install()
_install_finder()

_MODULES: Final = {*__all__, "proactor", "tls"} - _HOME_OF.keys()
_load: Final = loader(__name__, globals(), _HOME_OF, _MODULES)


if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid

    def __getattr__(name: str) -> Any:
        if name in ABSENT:
            refuse(name)
        return _load(name)


def __dir__() -> list[str]:
    return [*__all__]
