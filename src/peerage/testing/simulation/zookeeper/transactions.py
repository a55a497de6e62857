"""What the leader makes of a request that writes: the changes it consists of, or why it is refused.

The checks, their order and the numbers are those of ``PrepRequestProcessor`` of ZooKeeper 3.8. A request is
any object with ``type`` and the fields of kazoo's requests. The number of a transaction is used up by a
refused request as well.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from peerage.testing.simulation.zookeeper.tree import (
    ADMIN,
    BAD_ARGUMENTS,
    BAD_VERSION,
    CREATE,
    DELETE,
    INVALID_ACL,
    NO_CHILDREN_FOR_EPHEMERALS,
    NO_NODE,
    NODE_EXISTS,
    NOT_EMPTY,
    OK,
    READ,
    RUNTIME_INCONSISTENCY,
    WRITE,
    Access,
    Change,
    Checked,
    CreateNode,
    DeleteNode,
    Identity,
    Refused,
    SetAccess,
    SetNode,
    Tree,
    check_access,
    split,
)

#: Numbers of the requests that write.
_CREATE: Final = 1
_DELETE: Final = 2
_SET_DATA: Final = 5
_SET_ACL: Final = 7
_CHECK: Final = 13
_MULTI: Final = 14
WRITES: Final = frozenset({_CREATE, _DELETE, _SET_DATA, _SET_ACL, _MULTI})

_EPHEMERAL: Final = 1
_SEQUENCE: Final = 2
_KNOWN_FLAGS: Final = _EPHEMERAL | _SEQUENCE

_ANY_VERSION: Final = -1
_SPECIAL: Final = ("/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota")

#: Characters that a path can't have: ZooKeeper sees UTF-16, so all beyond 16 bits are surrogates to it.
_FORBIDDEN: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]")


class Transaction(NamedTuple):
    """What all servers apply in the same order."""

    zxid: int
    time: int
    """Milliseconds."""
    changes: tuple[Change, ...]
    errors: tuple[int, ...] = ()
    """Of a request that is refused: one error number for each of its parts."""
    multiple: bool = False
    """Whether the request had parts, each of which has its own answer."""
    opened: int = 0
    """The session that begins."""
    closed: int = 0
    """The session that ends."""

    def apply(self, tree: Tree) -> Any:
        """Change *tree*; return the answer to the request, or raise why it is refused."""
        if self.errors:
            if not self.multiple:
                raise Refused(self.errors[0])
            return [Refused(error) for error in self.errors]
        answers = [tree.apply(change, self.zxid, self.time) for change in self.changes]
        return answers if self.multiple else answers[0] if answers else None


@dataclass(slots=True)
class _Record:
    """What counts of a node whose changes are under way."""

    acl: tuple[Access, ...]
    owner: int
    version: int
    created: int
    aversion: int
    children: int


class Preparation:
    """Finds out what a request changes in *tree*, for *session* with these *identities*."""

    def __init__(self, tree: Tree, session: int, identities: tuple[Identity, ...]) -> None:
        self._tree = tree
        self._session = session
        self._identities = identities
        # None is a node that was removed.
        self._records: dict[str, _Record | None] = {}

    def prepare(self, request: Any, zxid: int, time: int) -> Transaction:
        """Return the transaction of a request that writes."""
        if request.type != _MULTI:
            try:
                return Transaction(zxid, time, (self._change(request),))
            except Refused as refusal:
                return Transaction(zxid, time, (), (refusal.code,))
        changes: list[Change] = []
        for part in request.operations:
            try:
                changes.append(self._change(part))
            except Refused as refusal:
                left = len(request.operations) - len(changes) - 1
                errors = (*(OK for _ in changes), refusal.code, *(RUNTIME_INCONSISTENCY for _ in range(left)))
                return Transaction(zxid, time, (), errors, multiple=True)
        return Transaction(zxid, time, tuple(changes), multiple=True)

    def _change(self, request: Any) -> Change:
        return _CHANGES[request.type](self, request)

    def _create(self, request: Any) -> CreateNode:
        path = request.path
        if request.flags & ~_KNOWN_FLAGS:
            raise NotImplementedError(f"The model of ZooKeeper has no nodes with flags {request.flags}.")
        parent_path = _parent(path)
        acl = fixed_acl(request.acl, self._identities)
        parent = self._record(parent_path)
        check_access(parent.acl, CREATE, self._identities)
        if request.flags & _SEQUENCE:
            path = f"{path}{parent.created:010d}"
        _check_path(path)
        if self._find(path) is not None:
            raise Refused(NODE_EXISTS)
        if parent.owner:
            raise Refused(NO_CHILDREN_FOR_EPHEMERALS)
        parent.created += 1
        parent.children += 1
        owner = self._session if request.flags & _EPHEMERAL else 0
        self._records[path] = _Record(acl, owner, 0, 0, 0, 0)
        return CreateNode(path, request.data or b"", acl, owner, parent.created)

    def _delete(self, request: Any) -> DeleteNode:
        path = request.path
        if path in _SPECIAL:
            raise Refused(BAD_ARGUMENTS)
        parent = self._record(_parent(path))
        check_access(parent.acl, DELETE, self._identities)
        node = self._record(path)
        _check_version(node.version, request.version)
        if node.children:
            raise Refused(NOT_EMPTY)
        parent.children -= 1
        self._records[path] = None
        return DeleteNode(path)

    def _set(self, request: Any) -> SetNode:
        _check_path(request.path)
        node = self._record(request.path)
        check_access(node.acl, WRITE, self._identities)
        _check_version(node.version, request.version)
        node.version += 1
        return SetNode(request.path, request.data or b"", node.version)

    def _set_acl(self, request: Any) -> SetAccess:
        _check_path(request.path)
        acl = fixed_acl(request.acls, self._identities)
        node = self._record(request.path)
        check_access(node.acl, ADMIN, self._identities)
        _check_version(node.aversion, request.version)
        node.aversion += 1
        return SetAccess(request.path, acl, node.aversion)

    def _check(self, request: Any) -> Checked:
        _check_path(request.path)
        node = self._record(request.path)
        check_access(node.acl, READ, self._identities)
        _check_version(node.version, request.version)
        return Checked()

    def _record(self, path: str) -> _Record:
        record = self._find(path)
        if record is None:
            raise Refused(NO_NODE)
        return record

    def _find(self, path: str) -> _Record | None:
        if path not in self._records:
            node = self._tree.nodes.get(path)
            if node is None:
                return None
            self._records[path] = _Record(
                node.acl, node.owner, node.version, node.created, node.aversion, len(node.children)
            )
        return self._records[path]


_CHANGES: Final[dict[int, Callable[[Preparation, Any], Change]]] = {
    _CREATE: Preparation._create,  # noqa: SLF001 - this class's
    _DELETE: Preparation._delete,  # noqa: SLF001 - likewise
    _SET_DATA: Preparation._set,  # noqa: SLF001 - likewise
    _SET_ACL: Preparation._set_acl,  # noqa: SLF001 - likewise
    _CHECK: Preparation._check,  # noqa: SLF001 - likewise
}


def fixed_acl(acl: Any, identities: tuple[Identity, ...]) -> tuple[Access, ...]:
    """Return the list as the server keeps it: without repetitions, and with the creator's identities."""
    fixed: list[Access] = []
    for perms, (scheme, name) in dict.fromkeys(acl):
        if scheme == "auth":
            authenticated = [each for each in identities if each.scheme == "digest"]
            if not authenticated:
                raise Refused(INVALID_ACL)
            fixed += (Access(perms, each) for each in authenticated)
        elif (scheme, name) == ("world", "anyone") or (scheme == "digest" and name.count(":") == 1):
            fixed.append(Access(perms, Identity(scheme, name)))
        else:
            raise Refused(INVALID_ACL)
    if not fixed:
        raise Refused(INVALID_ACL)
    return tuple(fixed)


def _parent(path: str) -> str:
    if "/" not in path or "\0" in path:
        raise Refused(BAD_ARGUMENTS)
    return split(path)[0]


def _check_path(path: str) -> None:
    """Refuse a path that no node can have; see ``PathUtils.validatePath``."""
    if path == "/":
        return
    names = path.split("/")
    if names[0] or any(name in {"", ".", ".."} for name in names[1:]) or _FORBIDDEN.search(path):
        raise Refused(BAD_ARGUMENTS)


def _check_version(version: int, expected: int) -> None:
    if expected not in {_ANY_VERSION, version}:
        raise Refused(BAD_VERSION)
