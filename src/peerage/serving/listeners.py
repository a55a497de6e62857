"""The listening sockets of this process, and how it leaves them to other processes that have them as well."""

import asyncio
import gc
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

#: Where the descriptors of this process are: on Linux, and elsewhere.
_DESCRIPTORS: Final = ("/proc/self/fd", "/dev/fd")


def listeners() -> dict[int, Any]:
    """Return the descriptors of the stream sockets of this process that listen, with the name of each.

    The name is that of ``getsockname()``: a tuple that begins with address and port, for TCP.
    """
    folder = next((folder for folder in map(Path, _DESCRIPTORS) if folder.is_dir()), None)
    found = {}
    for entry in [] if folder is None else [entry.name for entry in folder.iterdir()]:
        # Some are no sockets, and one may be closed meanwhile by another thread.
        with suppress(OSError):
            probe = socket.socket(fileno=int(entry))
            try:
                if probe.type == socket.SOCK_STREAM and probe.getsockopt(
                    socket.SOL_SOCKET, socket.SO_ACCEPTCONN
                ):
                    found[int(entry)] = probe.getsockname()
            finally:
                # It stays open: it is the server's.
                probe.detach()
    return found


def shared_with_parent(descriptors: Iterable[int]) -> list[int]:
    """Return those of these sockets that the parent process has open as well, as far as that can be known."""
    inodes = {}
    for each in descriptors:
        with suppress(OSError):  # closed meanwhile
            inodes[f"socket:[{os.fstat(each).st_ino}]"] = each
    # Elsewhere than on Linux there is no such folder, and that of another user can't be read.
    with suppress(OSError):
        return list({inodes[link] for link in _links(os.getppid()) if link in inodes})
    return []


def _links(process: int) -> Iterator[str]:
    for link in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            yield str(link.readlink())


def stop_accepting(servers: Iterable[Any]) -> None:
    """Let the running loop accept no more connections for these servers, each an ``asyncio.AbstractServer``.

    Those of asyncio aren't closed, because that would drop a connection that was just accepted: it belongs to
    its server when the loop has gone round once. uvloop's have no such state, and are closed.
    """
    loop = asyncio.get_running_loop()
    for each in servers:
        if isinstance(each, asyncio.Server):
            for listener in each.sockets:
                loop.remove_reader(listener.fileno())
        else:
            each.close()


def leave_to_others() -> bool:
    """Accept no more connections where the parent process listens as well; tell whether that was possible.

    That is the supervisor of a server: other workers accept the connections, or the one that comes next.
    """
    shared = set(shared_with_parent(listeners()))
    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.SelectorEventLoop):
        for descriptor in shared:
            loop.remove_reader(descriptor)
        return bool(shared)
    servers = [each for each in _servers_of(loop) if any(sock.fileno() in shared for sock in each.sockets)]
    stop_accepting(servers)
    return bool(servers)


def _servers_of(loop: object) -> list[Any]:
    """Return the servers of one of uvloop's loops, which can't be asked for them, and removes no readers."""
    held = (each for group in gc.get_referents(loop) if isinstance(group, set) for each in group)
    return [each for each in held if type(each).__name__ == "Server"]
