"""The watches that the clients of one server have set, as ZooKeeper 3.8 keeps them, its errors included.

There are two tables, as in the server: of watches for the data of nodes and for their children. In each, a
client has one watch at most for a node, the last one set: a one-shot watch on the root of a recursive one
takes its place (ZOOKEEPER-4466). An event is kept from a client that may not read the node (CVE-2024-23944);
a one-shot watch ends with it all the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from peerage.testing.simulation.zookeeper.tree import CHILDREN, DELETED, READ, Access, Identity, may

_ONE_SHOT: Final = False
_RECURSIVE: Final = True


@dataclass(eq=False, slots=True)
class Client:
    """A connection of a client to a server: another object for each, as its watches end with it."""

    session: int
    identities: tuple[Identity, ...] = ()


class _Table:
    """Watches by path and client: whether each is recursive."""

    def __init__(self) -> None:
        self._watches: dict[str, dict[Client, bool]] = {}

    def add(self, client: Client, path: str, recursive: bool) -> None:  # noqa: FBT001 - what is kept
        self._watches.setdefault(path, {})[client] = recursive

    def forget(self, client: Client) -> None:
        for path in [path for path, watches in self._watches.items() if client in watches]:
            self._remove(path, client)

    def _remove(self, path: str, client: Client) -> None:
        watches = self._watches[path]
        del watches[client]
        if not watches:
            del self._watches[path]

    def trigger(self, kind: int, path: str) -> dict[Client, None]:
        """Return the connections that get the event; one-shot watches of the node end with it."""
        found: dict[Client, None] = {}
        for above in _upwards(path):
            for client, recursive in tuple(self._watches.get(above, {}).items()):
                if recursive:
                    if kind != CHILDREN:
                        found[client] = None
                elif above == path:
                    found[client] = None
                    self._remove(path, client)
        return found


class Watches:
    """The watches of one server. *send* is called with client, kind and path of each event."""

    def __init__(self, send: Callable[[Client, int, str], None]) -> None:
        self._send = send
        self._data, self._children = _Table(), _Table()

    def watch_node(self, client: Client, path: str) -> None:
        """Send the next event of the node itself."""
        self._data.add(client, path, _ONE_SHOT)

    def watch_children(self, client: Client, path: str) -> None:
        """Send the next event of the node's children, or of its end."""
        self._children.add(client, path, _ONE_SHOT)

    def watch_all(self, client: Client, path: str) -> None:
        """Send every event of the node and of all below it, but none of children."""
        self._data.add(client, path, _RECURSIVE)
        self._children.add(client, path, _RECURSIVE)

    def forget(self, client: Client) -> None:
        """Remove all watches of a connection that has ended."""
        self._data.forget(client)
        self._children.forget(client)

    def trigger(self, kind: int, path: str, acl: tuple[Access, ...]) -> None:
        """Send an event of a node with this access list to those that watch for it."""
        if kind == CHILDREN:
            told = self._children.trigger(kind, path)
        else:
            told = self._data.trigger(kind, path)
            if kind == DELETED:
                told |= self._children.trigger(kind, path)
        for client in told:
            if may(acl, READ, client.identities):
                self._send(client, kind, path)


def _upwards(path: str) -> Iterator[str]:
    """Yield the path, then that of each node above."""
    while path != "/":
        yield path
        path = path.rpartition("/")[0] or "/"
    yield path
