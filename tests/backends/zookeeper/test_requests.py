"""The requests that kazoo doesn't have: compared with kazoo's, and with the answers of a server."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from kazoo.protocol import serialization as kazoo

from peerage.backends.zookeeper.requests import (
    AddWatch,
    Children,
    Entry,
    Exists,
    MultiRead,
    Read,
    Status,
)

paths = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF), min_size=1, max_size=40).map(
    "/".__add__
)
longs = st.integers(-(1 << 63), (1 << 63) - 1)
entries = st.builds(Entry, st.binary(max_size=300), longs, longs, longs)


def _node(entry: Entry) -> bytes:
    stat = struct.pack("!qqqqiiiqiiq", entry.czxid, entry.mzxid, 5, 6, 7, 8, 9, entry.owner, 11, 12, 13)
    return struct.pack("!i", len(entry.data)) + entry.data + stat


@given(paths, st.booleans())
def test_requests_that_kazoo_has_equal_kazoos(path, watch):
    """Read, Exists and Children are the same bytes."""
    watcher = (lambda _: None) if watch else None
    assert Read(path, watch).serialize() == bytes(kazoo.GetData(path, watcher).serialize())
    assert Exists(path, watch).serialize() == bytes(kazoo.Exists(path, watcher).serialize())
    assert Children(path, watch).serialize() == bytes(kazoo.GetChildren(path, watcher).serialize())
    assert (Read.type, Exists.type, Children.type) == (
        kazoo.GetData.type,
        kazoo.Exists.type,
        kazoo.GetChildren.type,
    )


@given(st.lists(paths, max_size=20))
def test_a_multi_read_looks_like_a_transaction_of_reads(names):
    """Kazoo's transactions have the same form, with other operations."""
    transaction = kazoo.Transaction([kazoo.GetData(path, None) for path in names])
    assert MultiRead(tuple(names)).serialize() == bytes(transaction.serialize())


@given(st.lists(st.one_of(entries, st.sampled_from([-101, -102])), max_size=20), st.binary(max_size=20))
def test_the_answer_of_a_multi_read(answers, before):
    """Nodes and errors in order, at any offset of the buffer."""
    body = b"".join(
        struct.pack("!iBi", -1, 0, answer) + struct.pack("!i", answer)
        if isinstance(answer, int)
        else struct.pack("!iBi", 4, 0, 0) + _node(answer)
        for answer in answers
    )
    buffer = before + body + struct.pack("!iBi", -1, 1, -1)
    assert MultiRead.deserialize(buffer, len(before)) == answers


@given(entries)
def test_the_answer_of_a_read(entry):
    """Decoded as by kazoo."""
    data, stat = kazoo.GetData.deserialize(_node(entry), 0)
    assert Read.deserialize(_node(entry), 0) == entry
    assert (data, stat.czxid, stat.mzxid, stat.ephemeralOwner) == entry


@given(st.binary(max_size=20), st.builds(Status, st.integers(-(1 << 31), (1 << 31) - 1), longs))
def test_the_answer_of_exists(before, status):
    """Decoded as by kazoo, which returns more."""
    body = struct.pack("!qqqqiiiqiiq", 1, 2, 3, 4, status.version, 6, 7, status.owner, 9, 10, 11)
    stat = kazoo.Exists.deserialize(body, 0)
    assert Exists.deserialize(before + body, len(before)) == status == (stat.version, stat.ephemeralOwner)


@given(st.lists(st.text(max_size=20), max_size=20))
def test_the_answer_of_a_list(names):
    """Decoded as by kazoo."""
    body = struct.pack("!i", len(names)) + b"".join(
        struct.pack("!i", len(encoded)) + encoded for encoded in (name.encode() for name in names)
    )
    assert Children.deserialize(body, 0) == kazoo.GetChildren.deserialize(body, 0) == names


def test_a_node_without_data_is_empty():
    """ZooKeeper distinguishes null, of length -1, from empty; a record is bytes."""
    null = struct.pack("!i", -1) + struct.pack("!qqqqiiiqiiq", *range(11))
    assert Read.deserialize(null, 0).data == b""


def test_a_watch():
    """The path and the recursive mode, as in zookeeper.jute."""
    assert AddWatch("/a").serialize() == struct.pack("!i2si", 2, b"/a", 1)
