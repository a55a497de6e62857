"""The classes to derive from, where ASAB has them as well: ``asab.abc.Service`` is ``asab.Service``."""

from peerage.asab.module import Module
from peerage.asab.service import Service
from peerage.asab.singleton import Singleton

__all__ = ["Module", "Service", "Singleton"]
