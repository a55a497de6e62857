"""The disk cache: what a registry said last, kept in a private file for a start without the registry."""

from peerage.disk_cache.cache import DiskCache
from peerage.disk_cache.format import Entry
from peerage.disk_cache.location import disk_cache_of, from_environment, key_cache_of

__all__ = ["DiskCache", "Entry", "disk_cache_of", "from_environment", "key_cache_of"]
