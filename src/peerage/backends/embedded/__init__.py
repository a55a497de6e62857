"""``embedded:``, the registry of one machine that needs no server: every record is a locked file.

Where
    ``embedded:`` keeps its records under ``/tmp/peerage-<uid>``, or in the folder that the environment
    variable ``PEERAGE_DIR`` names; ``embedded:///folder`` names the folder in the URL. ``?path=/other`` is
    another registry in the same folder; without it the path is ``/asab``. The folder must belong to the user
    who runs the process and be closed to all other users, or it is refused.

    ``embedded:///folder?group=services``, or ``PEERAGE_GROUP`` beside ``PEERAGE_DIR``, is a folder that the
    users of a group share. An administrator makes it, with that group and mode 2770.

How it works
    The owner of a record keeps its file open and locked. When the owner dies, however that happens, the
    kernel releases the lock, and the next process that reads the file removes it. There is no lease and no
    process id.

    Changes are seen by inotify, with one instance per process. Where it can't be used (a user has 128
    instances; macOS has none) the folder is polled every 50 ms, with at most 2 % of a processor: the death of
    an owner is seen within N/600 s in a folder of N files, every other change at once in small registries and
    within about 3 s among 10,000 records. Inotify is tried again every minute. The environment variable
    ``PEERAGE_EMBEDDED_POLL=1`` asks for polling.

Limits
    A process that is stopped (SIGSTOP) still holds its locks: its records stay, unlike in ZooKeeper.

    Network and shared file systems (NFS, virtiofs, 9p) are not supported, because locks and changes of
    another machine aren't seen reliably there. A folder in which locks don't work at all is refused.

    After a fork by Python, the registries of the parent can't be used in the child, which opens its own. The
    child neither keeps the parent's records nor removes them. Code in C that calls ``fork()`` itself
    (an embedding web server, for example) bypasses Python's hooks: as long as its child lives and doesn't
    execute another program, the parent's records stay after the parent's death. Open the registry in the
    children of such a program only.

    ``os.fork()`` waits for a file operation that is under way, and so for a disk that hangs.

Map of the package, from the user's call to the disk
    ====================  ============================  ==========================================
    file                  runs on                       contains
    ====================  ============================  ==========================================
    ``location``          any thread                    the URL: its folder, path and group
    ``registry``          the user's event loop         EmbeddedRegistry, the port
    ``advertisement``     the user's event loop         one record, as its service sees it
    ``secrets``           both                          shared secrets and their files
    ``shared``            the user's event loop         what the process's registries share
    ``loopthread``        both                          the thread, and calls to it
    ``store``             the thread                    one folder: own records, being out of touch
    ``ownedrecord``       the thread                    one own record and its file
    ``view``              the thread                    all records, kept up to date
    ``inotify``           the thread                    the process's one inotify instance
    ``recordfile``        the thread                    writing and reading one record's file
    ``folder``            the thread                    making and opening a folder
    ``access``            the thread                    which folders and files are trusted
    ``examine``           a thread of its own           looks at the folder, for ``peerage doctor``
    ``diagnosis``         the user's event loop         what is wrong with the folder
    ``forks``             any thread                    which descriptors a forked child closes
    ====================  ============================  ==========================================

    Each watcher has a :class:`peerage.backends.feed.Feed`, which the view fills from the thread.
"""

import os
from typing import TYPE_CHECKING

from peerage.backends.embedded.location import parse_url
from peerage.errors import ConfigurationError

if TYPE_CHECKING:
    from peerage.backends.embedded.registry import EmbeddedRegistry

__all__ = ["open_embedded"]


def open_embedded(url: str) -> "EmbeddedRegistry":
    """Return the registry of this machine that *url* names; nothing on disk is touched yet.

    Raises:
        ConfigurationError: the URL is invalid, or this system doesn't have the necessary file locks.
    """
    if os.name != "posix":
        raise ConfigurationError(
            "The embedded registry needs the file locks of Linux, macOS or BSD: "
            "use zookeeper://host/asab here."
        )
    location = parse_url(url)
    from peerage.backends.embedded.registry import EmbeddedRegistry  # noqa: PLC0415 - needs fcntl, see above

    return EmbeddedRegistry(location)
