"""Where the disk cache of a registry is, and whether there is one."""

import hashlib
import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from peerage.disk_cache.cache import DiskCache
from peerage.disk_cache.files import CacheFile
from peerage.errors import ConfigurationError
from peerage.records.text import shorten

VARIABLE: Final = "PEERAGE_DISK_CACHE"
OFF: Final = "off"

#: Schemes of registries that are in this process, or on this machine: what they know is gone with it.
_LOCAL: Final = frozenset({"memory", "embedded"})


def from_environment(environ: Mapping[str, str] | None = None) -> bool | str:
    """Return what ``PEERAGE_DISK_CACHE`` says: a folder, False if it is ``off``, True if it isn't set."""
    value = (os.environ if environ is None else environ).get(VARIABLE)
    return (value or True) if value != OFF else False


def disk_cache_of(
    url: str,
    choice: bool | str | os.PathLike[str] | DiskCache,  # noqa: FBT001 - an argument that is handed on
    kind: str = "cache",
) -> DiskCache | None:
    """Return the disk cache of the registry *url*, None if there is none.

    Args:
        url: without credentials.
        choice: the folder in which this user's caches are, True for :func:`default_folders`, False: none; or
            the disk cache itself.
        kind: how the name of its file ends.

    Raises:
        ConfigurationError: *choice* is no absolute path.
    """
    if isinstance(choice, DiskCache):
        return choice
    if choice is False or url.partition(":")[0] in _LOCAL:
        return None
    if choice is True:
        folders = default_folders()
    else:
        folder = os.fspath(choice)
        if not Path(folder).is_absolute() or "\0" in folder:
            raise ConfigurationError(
                f"disk_cache={shorten(folder)} isn't the absolute path of a folder: give one, or write "
                f"{OFF!r} in {VARIABLE} or False in the program to have none."
            )
        folders = [folder]
    return DiskCache(url, CacheFile(folders, file_name(url, kind)))


def key_cache_of(url: str, choice: bool | str | os.PathLike[str] | DiskCache) -> DiskCache | None:  # noqa: FBT001 - as above
    """Return where the cluster's key is saved, beside the disk cache that :func:`disk_cache_of` returns.

    It is a file of its own, so that removing it removes no more than the key.
    """
    return None if isinstance(choice, DiskCache) else disk_cache_of(url, choice, "key")


def file_name(url: str, kind: str = "cache") -> str:
    """Return the name of the file of the registry *url*."""
    return f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.{kind}"


def default_folders(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the folders in which the cache may be, the best one first; the first that works is used.

    ``CACHE_DIRECTORY`` is set by systemd for a unit with ``CacheDirectory=``, ``XDG_CACHE_HOME`` by the
    specification of XDG base directories. A service may have neither, and no home that it may write to. Then
    ``/var/tmp`` is left, which survives a reboot, unlike ``/tmp``.
    """
    environ = os.environ if environ is None else environ
    homes = [environ.get("HOME", "")]
    with suppress(KeyError):  # a user without a name, as containers have
        homes.append(pwd.getpwuid(os.geteuid()).pw_dir)
    found = [
        environ.get("CACHE_DIRECTORY", "").partition(":")[0],
        environ.get("XDG_CACHE_HOME", ""),
        *(f"{home}/.cache" for home in homes if home not in {"", "/"} and Path(home).is_dir()),
        "/var/tmp",  # noqa: S108 - the folder in it is private, and refused if it belongs to another user
    ]
    return list(dict.fromkeys(each for each in found if each.startswith("/")))
