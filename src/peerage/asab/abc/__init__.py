"""The base classes, in the package where ASAB has them: ``asab.abc.Service`` is ``asab.Service``."""

from peerage.asab.abc.module import Module
from peerage.asab.abc.service import Service
from peerage.asab.abc.singleton import Singleton

__all__ = ["Module", "Service", "Singleton"]
