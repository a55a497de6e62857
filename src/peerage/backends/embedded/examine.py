"""Looks at the folder of an embedded registry without changing it; for ``peerage doctor``."""

import asyncio
import fcntl
import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from peerage.backends.embedded import forks
from peerage.backends.embedded.diagnosis import FolderFacts, check_folder
from peerage.backends.embedded.folder import DRAFT_PREFIX, Folder
from peerage.backends.embedded.location import Location
from peerage.backends.embedded.recordfile import RECORD_NAME
from peerage.blocking import in_daemon_thread
from peerage.diagnosis import Finding
from peerage.errors import RegistryDeniedError

#: Seconds that the disk has to answer.
_SECONDS: Final = 2.0

_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


async def examine(location: Location) -> list[Finding]:
    """Return what is found about the folder; nothing if it can't be opened, which its health explains."""
    try:
        async with asyncio.timeout(_SECONDS):
            return check_folder(await in_daemon_thread(lambda: look_at(location)))
    except (RegistryDeniedError, OSError):
        return []


def look_at(location: Location) -> FolderFacts:
    """Return the facts about the folder; blocks.

    Raises:
        RegistryDeniedError: the folder can't be trusted.
        OSError: it doesn't exist, or can't be read.
    """
    folder = Folder.open(location, location.folder, create=False)
    try:
        names = os.listdir(folder.fd)  # noqa: PTH208 - a descriptor has no Path
        ours = [name for name in names if RECORD_NAME.fullmatch(name) or name.startswith(DRAFT_PREFIX)]
        dead = sum(_is_dead(folder, name) for name in ours)
        disk = os.fstatvfs(folder.fd)
        return FolderFacts(
            path=folder.path,
            group=location.group,
            living=len(ours) - dead,
            dead=dead,
            strangers=sorted(set(names) - {*ours}),
            file_system=_file_system(os.path.realpath(folder.path)),
            free_bytes=disk.f_bavail * disk.f_frsize,
            free_files=disk.f_favail if disk.f_files else None,
            inotify=_inotify(),
            descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )
    finally:
        folder.close()


def _is_dead(folder: Folder, name: str) -> bool:
    """Tell whether no process has the file locked."""
    with suppress(OSError), forks.FORK_LOCK:
        fd = os.open(name, _OPEN, dir_fd=folder.fd)
        try:
            # Shared, as readers do: they don't take each other for the owner.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(fd)
    return False


def _file_system(path: str) -> str:
    """Return the type of the file system that *path* is on; Linux only. Fields: proc(5), mountinfo."""
    best, kind = "", ""
    for line in _lines("/proc/self/mountinfo"):
        mount, _, rest = line.partition(" - ")
        point = mount.split()[4].replace("\\040", " ")
        if len(point) >= len(best) and f"{path}/".startswith(f"{point.rstrip('/')}/"):
            best, kind = point, rest.split()[0]
    return kind


def _inotify() -> tuple[int, int] | None:
    """Return how many inotify instances the processes of this user have, and may have."""
    for line in _lines("/proc/sys/fs/inotify/max_user_instances"):
        return sum(_instances(Path("/proc"))), int(line)
    return None


def _instances(proc: Path) -> Iterator[int]:
    for process in proc.iterdir():
        if process.name.isdecimal():
            # A process may end meanwhile.
            with suppress(OSError):
                if process.stat().st_uid == os.geteuid():
                    links = (entry.readlink() for entry in (process / "fd").iterdir())
                    yield sum(str(link) == "anon_inode:inotify" for link in links)


def _lines(path: str) -> list[str]:
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return []
