"""The documented API of ASAB's applications and Discovery Service, on top of :class:`peerage.Discovery`.

A program written against ASAB's documentation runs with ``import peerage.asab as asab`` instead of
``import asab``. The names are those of ASAB. They are loaded on first use, and so are the modules:
``asab.web.Module`` needs no further import. A module of ASAB that isn't here raises an error with advice.
"""

from typing import TYPE_CHECKING, Final

from peerage.asab import absent as _absent
from peerage.asab import log as _log
from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.asab import abc as abc
    from peerage.asab import api as api
    from peerage.asab import application as application
    from peerage.asab import config as config
    from peerage.asab import contextvars as contextvars
    from peerage.asab import exceptions as exceptions
    from peerage.asab import log as log
    from peerage.asab import proactor as proactor
    from peerage.asab import pubsub as pubsub
    from peerage.asab import task as task
    from peerage.asab import timer as timer
    from peerage.asab import tls as tls
    from peerage.asab import utils as utils
    from peerage.asab import web as web
    from peerage.asab import zookeeper as zookeeper
    from peerage.asab.abc import Module as Module
    from peerage.asab.abc import Service as Service
    from peerage.asab.abc import Singleton as Singleton
    from peerage.asab.application import Application as Application
    from peerage.asab.config import Config as Config
    from peerage.asab.config import ConfigObject as ConfigObject
    from peerage.asab.config import Configurable as Configurable
    from peerage.asab.config import ConfigurableDict as ConfigurableDict
    from peerage.asab.log import LOG_NOTICE as LOG_NOTICE
    from peerage.asab.logsetup import LogObsolete as LogObsolete
    from peerage.asab.pubsub import PubSub as PubSub
    from peerage.asab.pubsub import Subscriber as Subscriber
    from peerage.asab.pubsub import subscribe as subscribe
    from peerage.asab.timer import Timer as Timer

_NAMES: Final = {
    "abc": ("Module", "Service", "Singleton"),
    "application": ("Application",),
    "config": ("Config", "ConfigObject", "Configurable", "ConfigurableDict"),
    "log": ("LOG_NOTICE",),
    "pubsub": ("PubSub", "Subscriber", "subscribe"),
    "timer": ("Timer",),
}
_MODULES: Final = (
    *_NAMES,
    *("api", "contextvars", "exceptions", "proactor", "task", "tls", "utils", "web", "zookeeper"),
)
_HOME_OF: Final = {
    "LogObsolete": "logsetup",
    **{name: home for home, names in _NAMES.items() for name in names},
}
_PUBLIC: Final = (*_HOME_OF, *_MODULES)

_log.install()
_absent.install()

if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __all__ = list(_PUBLIC)
    __getattr__ = loader(__name__, globals(), _HOME_OF, {*_MODULES, *_absent.ABSENT})


def __dir__() -> list[str]:
    return [*_PUBLIC]
