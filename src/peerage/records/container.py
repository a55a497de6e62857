"""Whether this process runs in a container."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["in_container"]

#: Files that Docker and podman put into each container.
_MARKERS: Final = (".dockerenv", "run/.containerenv")

#: Words in the control groups (version 1) of a process in a container.
_GROUPS: Final = ("docker", "kubepods", "containerd", "/lxc/")


def in_container(environ: Mapping[str, str], pid: int | None = None, root: Path = Path("/")) -> bool:
    """Tell whether this process runs in a container.

    The rules of ASAB's ``running_in_container()`` are among these.

    Args:
        environ: systemd-nspawn, podman and LXC set ``container`` in it.
        pid: number of the process, by default that of this one. The first process of a container has 1.
        root: where ``/proc`` and the files of the container are.
    """
    return (
        bool(environ.get("container"))
        or (pid or os.getpid()) == 1
        or any((root / marker).exists() for marker in _MARKERS)
        or any(word in _read(root / "proc/1/cgroup") for word in _GROUPS)
        or _has_overlay_root(_read(root / "proc/self/mountinfo"))
    )


def _has_overlay_root(mountinfo: str) -> bool:
    """Tell whether ``/`` is an overlay, as containerd, Docker and podman mount it.

    It is the only sign in a pod of containerd where control groups have version 2. Fields: proc(5).
    """
    for line in mountinfo.splitlines():
        mount, _, filesystem = line.partition(" - ")
        if mount.split()[4:5] == ["/"] and filesystem.split()[:1] == ["overlay"]:
            return True
    return False


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
