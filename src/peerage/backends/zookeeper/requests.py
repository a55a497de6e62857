"""The requests that kazoo 2.11 doesn't have.

Each has what kazoo needs of a request: the number of its operation, ``serialize`` and ``deserialize``. The
formats are jute's, from ZooKeeper's own ``zookeeper.jute`` and ``MultiOperationRecord``.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from kazoo.protocol.serialization import CheckVersion, Create, Transaction, write_string
from kazoo.security import OPEN_ACL_UNSAFE

#: Error numbers in the answers to requests for many nodes.
NO_NODE: Final = -101
NO_AUTH: Final = -102

_INT: Final = struct.Struct("!i")
_HEADER: Final = struct.Struct("!iBi")
_STAT: Final = struct.Struct("!qqqqiiiqiiq")

#: Of a stat what an Entry has: czxid, mzxid, owner.
_NUMBERS: Final = struct.Struct("!qq28xq16x")

_GET_DATA: Final = 4
_ERROR: Final = -1

_RECURSIVE: Final = 1
_SEQUENCE: Final = 2
_NO_VERSION: Final = -2


class Entry(NamedTuple):
    """A node as read."""

    data: bytes
    czxid: int
    """Number of the transaction that created it: the order of creation."""
    mzxid: int
    """Number of the transaction that changed it last."""
    owner: int
    """Session of an ephemeral node, 0 of a persistent one."""


def _entry(buffer: bytes, offset: int) -> tuple[Entry, int]:
    (length,) = _INT.unpack_from(buffer, offset)
    start, offset = offset + 4, offset + 4 + max(length, 0)
    data = buffer[start:offset]
    czxid, mzxid, owner = _NUMBERS.unpack_from(buffer, offset)
    if mzxid == czxid:
        # Kept for each node that never changed: one number, not two.
        mzxid = czxid
    return Entry(data, czxid, mzxid, owner), offset + _STAT.size


@dataclass(frozen=True, slots=True)
class AddWatch:
    """Watch a node and all below it until the connection ends. Server 3.6 and newer."""

    path: str

    type: ClassVar[int] = 106

    def serialize(self) -> bytes:
        """Return the body of the request."""
        return bytes(write_string(self.path) + _INT.pack(_RECURSIVE))

    @staticmethod
    def deserialize(_buffer: bytes, _offset: int) -> None:
        """Read the answer, which is empty."""


@dataclass(frozen=True, slots=True)
class MultiRead:
    """Read many nodes at once; the answer has, in the same order, an Entry or ZooKeeper's error number."""

    paths: tuple[str, ...]

    type: ClassVar[int] = 22

    def serialize(self) -> bytes:
        """Return the body of the request."""
        header = _HEADER.pack(_GET_DATA, 0, -1)
        return (
            b"".join([b"%b%b\0" % (header, write_string(path)) for path in self.paths])
            + _HEADER.pack(-1, 1, -1)
        )  # fmt: skip

    @staticmethod
    def deserialize(buffer: bytes, offset: int) -> "list[Entry | int]":
        """Read the answer."""
        answers: list[Entry | int] = []
        while True:
            kind, done, _ = _HEADER.unpack_from(buffer, offset)
            offset += _HEADER.size
            if done:
                return answers
            if kind == _ERROR:
                answers.append(_INT.unpack_from(buffer, offset)[0])
                offset += 4
            else:
                entry, offset = _entry(buffer, offset)
                answers.append(entry)


def rehearsal(parent: str) -> Transaction:
    """Return the request whether a node could be created below *parent*, which creates none.

    It is a transaction whose second part can't succeed, so the first isn't carried out: no watch reports a
    node, and no number is used up. The answer has kazoo's exception for each part, with ZooKeeper's error
    number as ``code``, 0 for none.
    """
    node = f"{parent.rstrip('/')}/peerage-"
    return Transaction((Create(node, b"", OPEN_ACL_UNSAFE, _SEQUENCE), CheckVersion(parent, _NO_VERSION)))
