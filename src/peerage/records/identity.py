"""What is advertised about this process: its ids, host, addresses and manifest.

Everything is read at each advertisement and never at import, because a service may set its environment while
it starts. The names of the variables and fields are those of ASAB's Discovery Service.
"""

import hashlib
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from peerage.errors import ConfigurationError
from peerage.records.addresses import read_address
from peerage.records.names import BUILTIN_KEYS, fold_value
from peerage.records.text import printable, shorten

log = logging.getLogger(__name__)

_IMPORTED: Final = datetime.now(UTC)

#: Where ASAB looks for the manifest.
MANIFESTS: Final = ("/app/MANIFEST.json", "/MANIFEST.json", "MANIFEST.json")


@lru_cache(maxsize=4)
def launch_time(pid: int) -> datetime:
    """Return when the process *pid* started, UTC; without its ``/proc``, when this module was imported."""
    try:
        # Field 22. The name of the command may contain anything, and ends with the last ')'.
        ticks = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return _IMPORTED
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return datetime.now(UTC) - timedelta(seconds=age)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What is advertised about a process, apart from where it listens."""

    host: str
    """Name by which peers resolve this machine."""
    appclass: str = "Application"
    """Class name of the application; the name of the record begins with it."""
    instance_id: str | None = None
    service_id: str | None = None
    node_id: str | None = None
    site_id: str | None = None
    process_id: int = field(default_factory=os.getpid)
    launch_time: datetime = field(default_factory=lambda: launch_time(os.getpid()))
    containerized: bool = False
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """Fields of MANIFEST.json. Its ids count if they aren't given otherwise; its other known fields don't."""
    addresses: tuple[str, ...] = ()
    """Literal addresses by which peers reach this machine when *host* doesn't resolve."""
    host_key: str | None = field(default_factory=lambda: host_key())  # noqa: PLW0108 - defined below
    """The same for two processes exactly if they share loopback addresses."""

    def __post_init__(self) -> None:
        for key in BUILTIN_KEYS:
            value = self.manifest.get(key)
            if getattr(self, key) is not None or value is None or value == "":
                continue
            if isinstance(value, str) and printable(value) and fold_value(value):
                object.__setattr__(self, key, value)
            else:
                log.error("%s of the manifest is left out: %s can't be an id", key, shorten(value))


def read_identity(
    environ: Mapping[str, str] | None = None,
    *,
    appclass: str = "Application",
    manifest: Mapping[str, Any] | None = None,
) -> Identity:
    """Return what is advertised about this process.

    Args:
        environ: ``INSTANCE_ID``, ``SERVICE_ID``, ``NODE_ID``, ``SITE_ID``, ``ASAB_HOSTNAME`` (instead of the
            machine's host name), ``PEERAGE_ADDRESSES`` (comma separated; needed in a container to give any),
            ``PEERAGE_MANIFEST``; ``os.environ`` by default. An empty variable counts as missing. A missing
            id is taken from the manifest.
        appclass: class name of the application.
        manifest: fields of MANIFEST.json; None: that of :func:`find_manifest`.

    Raises:
        ConfigurationError: an entry of ``PEERAGE_ADDRESSES`` is no address, or none that peers can reach.
    """
    environ = os.environ if environ is None else environ
    containerized = in_container(environ)
    ids: dict[str, Any] = {key: environ.get(key.upper()) or None for key in BUILTIN_KEYS}
    return Identity(
        host=environ.get("ASAB_HOSTNAME") or socket.gethostname(),
        appclass=appclass,
        **ids,
        containerized=containerized,
        manifest=find_manifest(environ.get("PEERAGE_MANIFEST")) or {} if manifest is None else manifest,
        addresses=_addresses(environ.get("PEERAGE_ADDRESSES"), containerized=containerized),
    )


def host_key(proc: Path = Path("/proc")) -> str | None:
    """Return the key of this host: two processes with the same key reach each other by loopback.

    It is a digest of the boot id and the network namespace. The host name doesn't identify a host, because
    containers on one machine may have the same name and different loopback interfaces. Without the files in
    *proc* there is no key.
    """
    try:
        boot, namespace = socket.gethostname(), 0
        if sys.platform == "linux":
            boot = (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            namespace = (proc / "self/ns/net").stat().st_ino
        return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:16]
    except OSError as error:
        log.warning("This host has no key (%s), so instances that listen on loopback aren't called", error)
        return None


def find_manifest(
    configured: str | None, said_by: str = "PEERAGE_MANIFEST", paths: Sequence[str] = MANIFESTS
) -> dict[str, Any] | None:
    """Return the fields of the manifest, None if there is no manifest, {} if it can't be used.

    If there is no file *configured*, which the option or variable *said_by* names, *paths* are tried.
    """
    if configured and not Path(configured).is_file():
        log.error("%s names %s, which is no file", said_by, configured)
    path = next((path for path in map(Path, (configured or "", *paths)) if path.is_file()), None)
    if path is None:
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        # Lone surrogates and NaN can't be advertised, and must not prevent the service from being so.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        log.error("%s can't be read and is left out: %s", path, error)  # noqa: TRY400 - no fault of the code
        return {}
    if isinstance(value, dict):
        return value
    log.error("%s is left out: it is a JSON %s, not an object", path, type(value).__name__)
    return {}


def _addresses(configured: str | None, *, containerized: bool) -> tuple[str, ...]:
    if not configured:
        # The address of a container can usually be reached from its own machine only.
        return () if containerized else guess_addresses()
    found: dict[str, None] = {}
    for text in filter(None, map(str.strip, configured.split(","))):
        address = read_address(text)
        if address is None or not address.routable:
            raise ConfigurationError(
                f"PEERAGE_ADDRESSES contains {text!r}: give IP addresses that peers can reach, with commas: "
                "no host names, no loopback, link-local or multicast addresses."
            )
        found[address.literal] = None
    return tuple(found)


def guess_addresses() -> tuple[str, ...]:
    """Return the source addresses of the default routes, IPv4 and IPv6, that other machines can reach."""
    found = []
    # Reserved for documentation (RFC 5737, RFC 3849): no host has them, and they are routed as others are.
    for family, outside in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((outside, 9))  # this sends nothing
            address = read_address(probe.getsockname()[0])
            if address is not None and address.routable:
                found.append(address.literal)
    return tuple(found)


def in_container(environ: Mapping[str, str], pid: int | None = None, root: Path = Path("/")) -> bool:
    """Tell whether this process, or *pid*, runs in a container, whose files are in *root*.

    The rules of ASAB's ``running_in_container()`` are among these.
    """
    groups = _read(root / "proc/1/cgroup")  # of version 1
    return (
        bool(environ.get("container"))  # systemd-nspawn, podman and LXC set it
        or (pid or os.getpid()) == 1  # the first process of a container
        or any((root / marker).exists() for marker in (".dockerenv", "run/.containerenv"))  # Docker, podman
        or any(word in groups for word in ("docker", "kubepods", "containerd", "/lxc/"))
        or _has_overlay_root(_read(root / "proc/self/mountinfo"))
    )


def _has_overlay_root(mountinfo: str) -> bool:
    """Tell whether ``/`` is an overlay, as containerd, Docker and podman mount it.

    It is the only sign in a pod of containerd where control groups have version 2. Fields: proc(5).
    """
    mounts = (line.partition(" - ") for line in mountinfo.splitlines())
    return any(at.split()[4:5] == ["/"] and kind.split()[:1] == ["overlay"] for at, _, kind in mounts)


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
