"""ZooKeeper's data tree: the nodes of one server, and the changes that a transaction makes to them.

Reads and changes follow ``DataTree`` of ZooKeeper 3.8. What a node's numbers mean: see ``ZooKeeper Stat
Structure`` in ZooKeeper's programmer's guide.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

#: Error numbers, from ``KeeperException.Code``.
OK: Final = 0
RUNTIME_INCONSISTENCY: Final = -2
CONNECTION_LOSS: Final = -4
BAD_ARGUMENTS: Final = -8
NO_NODE: Final = -101
NO_AUTH: Final = -102
BAD_VERSION: Final = -103
NO_CHILDREN_FOR_EPHEMERALS: Final = -108
NODE_EXISTS: Final = -110
NOT_EMPTY: Final = -111
SESSION_EXPIRED: Final = -112
INVALID_ACL: Final = -114
SESSION_MOVED: Final = -118
THROTTLED: Final = -127

#: Kinds of events.
CREATED: Final = 1
DELETED: Final = 2
CHANGED: Final = 3
CHILDREN: Final = 4

#: Rights, as the bits of an access list's entry.
READ: Final = 1
WRITE: Final = 2
CREATE: Final = 4
DELETE: Final = 8
ADMIN: Final = 16
ALL: Final = 31


class Refused(Exception):  # noqa: N818 - an answer of the server
    """The server refuses a request, or a part of one, with an error number."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Stat(NamedTuple):
    """What is known of a node; the names of the fields are ZooKeeper's."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeralOwner: int  # noqa: N815 - ZooKeeper's name
    dataLength: int  # noqa: N815 - likewise
    numChildren: int  # noqa: N815 - likewise
    pzxid: int


class Identity(NamedTuple):
    """Who may do something, as ZooKeeper's ``Id``."""

    scheme: str
    id: str


class Access(NamedTuple):
    """An entry of an access list, as ZooKeeper's ``ACL``."""

    perms: int
    id: Identity


OPEN: Final = (Access(ALL, Identity("world", "anyone")),)


@dataclass(slots=True)
class Node:
    """A node; *created* children were created in it since it exists."""

    data: bytes
    acl: tuple[Access, ...]
    owner: int
    czxid: int
    mzxid: int
    pzxid: int
    ctime: int
    mtime: int
    version: int = 0
    created: int = 0
    aversion: int = 0
    children: dict[str, None] = field(default_factory=dict)

    def stat(self) -> Stat:
        """Return what clients learn of it."""
        return Stat(
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            # Every creation and every removal counts.
            2 * self.created - len(self.children),
            self.aversion,
            self.owner,
            len(self.data),
            len(self.children),
            self.pzxid,
        )


class CreateNode(NamedTuple):
    """A change: the node is created as child number *created* of its parent."""

    path: str
    data: bytes
    acl: tuple[Access, ...]
    owner: int
    created: int


class DeleteNode(NamedTuple):
    """A change: the node is removed."""

    path: str


class SetNode(NamedTuple):
    """A change: the node holds other data."""

    path: str
    data: bytes
    version: int


class SetAccess(NamedTuple):
    """A change: the node has another access list."""

    path: str
    acl: tuple[Access, ...]
    aversion: int


class Checked(NamedTuple):
    """No change: the version of a node was as expected."""


Change = CreateNode | DeleteNode | SetNode | SetAccess | Checked


class Tree:
    """The nodes of one server.

    *trigger* is called with each event, as changes are applied: its kind, the path, the node's access list.
    """

    def __init__(self, trigger: Callable[[int, str, tuple[Access, ...]], None]) -> None:
        self._trigger = trigger
        self.nodes: dict[str, Node] = {}
        self.ephemerals: dict[int, dict[str, None]] = {}
        """The paths of the ephemeral nodes of each session that has any."""
        for path in ("/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"):
            self.nodes[path] = Node(b"", OPEN, 0, 0, 0, 0, 0, 0)
            if path != "/":
                parent, name = split(path)
                self.nodes[parent].children[name] = None

    def node(self, path: str) -> Node:
        """Return the node; refused if there is none."""
        node = self.nodes.get(path)
        if node is None:
            raise Refused(NO_NODE)
        return node

    def apply(self, change: Change, zxid: int, time: int) -> Any:
        """Carry out a change that was found possible; return the answer to its request.

        *time* is in milliseconds.
        """
        match change:
            case CreateNode():
                return self._create(change, zxid, time)
            case DeleteNode(path):
                self._delete(path, zxid)
                return True
            case SetNode(path, data, version):
                node = self.nodes[path]
                node.data, node.version, node.mzxid, node.mtime = data, version, zxid, time
                answer = node.stat()
                self._trigger(CHANGED, path, node.acl)
                return answer
            case SetAccess(path, acl, aversion):
                node = self.nodes[path]
                node.acl, node.aversion = acl, aversion
                return node.stat()
            case Checked():
                return True

    def _create(self, change: CreateNode, zxid: int, time: int) -> str:
        path, data, acl, owner, created = change
        parent_path, name = split(path)
        parent = self.nodes[parent_path]
        parent.children[name] = None
        parent.created, parent.pzxid = created, zxid
        self.nodes[path] = Node(data, acl, owner, zxid, zxid, zxid, time, time)
        if owner:
            self.ephemerals.setdefault(owner, {})[path] = None
        self._trigger(CREATED, path, acl)
        self._trigger(CHILDREN, parent_path, parent.acl)
        return path

    def _delete(self, path: str, zxid: int) -> None:
        node = self.nodes.pop(path)
        parent_path, name = split(path)
        parent = self.nodes[parent_path]
        del parent.children[name]
        parent.pzxid = zxid
        if node.owner:
            paths = self.ephemerals[node.owner]
            del paths[path]
            if not paths:
                del self.ephemerals[node.owner]
        self._trigger(DELETED, path, node.acl)
        self._trigger(CHILDREN, parent_path, parent.acl)


def split(path: str) -> tuple[str, str]:
    """Return the path of the parent, and the node's name in it."""
    parent, _, name = path.rpartition("/")
    return parent or "/", name


def check_access(acl: tuple[Access, ...], right: int, identities: tuple[Identity, ...]) -> None:
    """Refuse a client with these *identities* unless the list gives it one of the bits of *right*."""
    if not may(acl, right, identities):
        raise Refused(NO_AUTH)


def may(acl: tuple[Access, ...], right: int, identities: tuple[Identity, ...]) -> bool:
    """Return whether the list gives a client with these *identities* one of the bits of *right*."""
    return any(
        entry.perms & right and (entry.id == ("world", "anyone") or entry.id in identities) for entry in acl
    )
