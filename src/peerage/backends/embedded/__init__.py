"""``embedded:``, the registry of one machine that needs no server: every record is a locked file.

The kernel is the daemon. A record is a file which its owner keeps open and locked; it vanishes with its
owner, however that dies, because the kernel drops the lock. Nothing is leased, no process id is written down.

Where
    ``embedded:`` keeps its records under ``/tmp/peerage-<uid>``, or where the environment variable
    ``PEERAGE_DIR`` says; ``embedded:///folder`` names the folder in the URL. ``?path=/other`` is another
    registry in the same folder; without it the path is ``/asab``. The folder belongs to one user and is
    closed to everybody else, or it is refused.

How changes are seen
    By inotify, one instance per process. Where there is none (a user has 128 of them; macOS has none) the
    folder is polled every 50 ms, with at most 2 % of a processor: of N records a death is seen within
    N/600 s, everything else at once in small registries and within about 3 s of 10,000 records. Inotify is
    tried again every minute. The environment variable ``PEERAGE_EMBEDDED_POLL=1`` asks for polling.

What to know
    A process that is stopped (SIGSTOP) still holds its locks: its records stay, unlike in ZooKeeper.
    Network and shared file systems (NFS, virtiofs, 9p) are not supported: another machine's locks and
    changes aren't seen reliably there. A folder where locks don't hold at all is found by a test and refused.
    After a fork, the registries of the parent are inert in the child: it opens its own. The parent's records
    stay the parent's; a child neither keeps them alive nor takes them away.
"""

import os
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from peerage.backends.embedded.location import parse_url
from peerage.errors import ConfigurationError

if TYPE_CHECKING:
    from peerage.backends.embedded.registry import EmbeddedRegistry

__all__ = ["open_embedded"]


def open_embedded(url: str) -> "EmbeddedRegistry":
    """Return the registry of this machine that *url* names; nothing on disk is touched yet.

    Raises:
        ConfigurationError: the URL can't work, or this system has no file locks of the kind needed.
    """
    if os.name != "posix":
        raise ConfigurationError(
            "The embedded registry needs the file locks of Linux, macOS or BSD: "
            "use zookeeper://host/asab here."
        )
    location = parse_url(url)
    from peerage.backends.embedded.registry import EmbeddedRegistry  # noqa: PLC0415 - needs fcntl, see above

    with suppress(ImportError):
        # Linux only. Loaded here and not by the thread, which would hold up the event loop meanwhile.
        import_module("asyncinotify")
    return EmbeddedRegistry(location)
