"""A model of one ZooKeeper server: pure, synchronous, without time of its own.

It answers the requests that the ZooKeeper backend sends, with the results, error numbers, numbers of
transactions, stats and events of ZooKeeper 3.8; a test compares it with the real server on random requests.
A server of an ensemble is one too: the leader makes transactions of requests (:meth:`Server.prepare`), and
each server applies them in the same order (:meth:`Server.apply`), sooner or later, and answers reads from
what it has applied.

What it lacks: containers, nodes with a time to live, quotas, administrators, limits of size.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from peerage.backends.zookeeper.requests import Entry
from peerage.testing.simulation.zookeeper.transactions import WRITES, Preparation, Transaction
from peerage.testing.simulation.zookeeper.tree import (
    ADMIN,
    OK,
    READ,
    Access,
    DeleteNode,
    Identity,
    Refused,
    Stat,
    Tree,
    check_access,
    may,
)
from peerage.testing.simulation.zookeeper.watches import Client, Watches


class Answer(NamedTuple):
    """The answer to a request."""

    zxid: int
    """Number of the last transaction that the server had applied."""
    error: int
    """ZooKeeper's error number, 0 for none."""
    value: Any
    """What kazoo's requests and those of the backend make of an answer."""


class Server:
    """The state of one server. *send* is called with client, kind and path of each event."""

    def __init__(self, send: Callable[[Client, int, str], None]) -> None:
        self.watches = Watches(send)
        self.tree = Tree(self.watches.trigger)
        self.zxid = 0
        """Number of the last transaction that was applied."""
        self.sessions: dict[int, None] = {}

    def prepare(self, client: Client, request: Any, time: int) -> Transaction:
        """Return the next transaction: that of a *request* for which :func:`writes` is true.

        *time* is in milliseconds.
        """
        preparation = Preparation(self.tree, client.session, client.identities)
        return preparation.prepare(request, self.zxid + 1, time)

    def prepare_open(self, session: int, time: int) -> Transaction:
        """Return the next transaction: the beginning of a session."""
        return Transaction(self.zxid + 1, time, (), opened=session)

    def prepare_close(self, session: int, time: int) -> Transaction:
        """Return the next transaction: the end of a session, with its ephemeral nodes."""
        changes = tuple(DeleteNode(path) for path in self.tree.ephemerals.get(session, ()))
        return Transaction(self.zxid + 1, time, changes, closed=session, multiple=True)

    def apply(self, transaction: Transaction) -> Answer:
        """Apply the next transaction, and send the events of it; return the answer to its request."""
        self.zxid = transaction.zxid
        if transaction.opened:
            self.sessions[transaction.opened] = None
        if transaction.closed:
            self.sessions.pop(transaction.closed, None)
        return self._answer(lambda: transaction.apply(self.tree))

    def read(self, client: Client, request: Any) -> Answer:
        """Answer a request that doesn't write, and set its watch."""
        return self._answer(lambda: _READS[request.type](self, client, request))

    def _answer(self, act: Callable[[], Any]) -> Answer:
        try:
            value = act()
        except Refused as refusal:
            return Answer(self.zxid, refusal.code, None)
        return Answer(self.zxid, OK, value)

    # Requests that read

    def _exists(self, client: Client, request: Any) -> Stat:
        if request.watcher:
            self.watches.watch_node(client, request.path)
        return self.tree.node(request.path).stat()

    def _get_data(self, client: Client, request: Any) -> tuple[bytes, Stat]:
        node = self.tree.node(request.path)
        check_access(node.acl, READ, client.identities)
        if request.watcher:
            self.watches.watch_node(client, request.path)
        return node.data, node.stat()

    def _get_children(self, client: Client, request: Any) -> list[str]:
        node = self.tree.node(request.path)
        check_access(node.acl, READ, client.identities)
        if request.watcher:
            self.watches.watch_children(client, request.path)
        return list(node.children)

    def _get_acl(self, client: Client, request: Any) -> tuple[list[Access], Stat]:
        node = self.tree.node(request.path)
        check_access(node.acl, READ | ADMIN, client.identities)
        if may(node.acl, ADMIN, client.identities):
            return list(node.acl), node.stat()
        return [_masked(entry) for entry in node.acl], node.stat()

    def _add_watch(self, client: Client, request: Any) -> None:
        self.watches.watch_all(client, request.path)

    def _multi_read(self, client: Client, request: Any) -> list[Entry | int]:
        return [self._entry(client, path) for path in request.paths]

    def _entry(self, client: Client, path: str) -> Entry | int:
        try:
            node = self.tree.node(path)
            check_access(node.acl, READ, client.identities)
        except Refused as refusal:
            return refusal.code
        return Entry(node.data, node.czxid, node.mzxid, node.owner)

    def _sync(self, _: Client, request: Any) -> str:
        path: str = request.path
        return path


_READS: Final[dict[int, Callable[[Server, Client, Any], Any]]] = {
    3: Server._exists,  # noqa: SLF001 - this class's
    4: Server._get_data,  # noqa: SLF001 - likewise
    6: Server._get_acl,  # noqa: SLF001 - likewise
    8: Server._get_children,  # noqa: SLF001 - likewise
    9: Server._sync,  # noqa: SLF001 - likewise
    22: Server._multi_read,  # noqa: SLF001 - likewise
    106: Server._add_watch,  # noqa: SLF001 - likewise
}


def writes(request: Any) -> bool:
    """Return whether the leader must make a transaction of the request."""
    return request.type in WRITES


def digest_identity(credentials: str) -> Identity:
    """Return who a client with ``user:password`` is."""
    digest = base64.b64encode(hashlib.sha1(credentials.encode()).digest()).decode()  # noqa: S324 - ZooKeeper's
    return Identity("digest", f"{credentials.partition(':')[0]}:{digest}")


def _masked(entry: Access) -> Access:
    """Return an entry without its password, as clients see it that may not change the list."""
    if entry.id.scheme != "digest":
        return entry
    return Access(entry.perms, Identity("digest", f"{entry.id.id.partition(':')[0]}:x"))
