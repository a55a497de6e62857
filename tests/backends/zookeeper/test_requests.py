"""The requests that kazoo doesn't have: compared with kazoo's, and with the answers of a server."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from kazoo.protocol import serialization as kazoo

from peerage.backends.zookeeper.requests import AddWatch, Entry, MultiRead

paths = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF), min_size=1, max_size=40).map(
    "/".__add__
)
longs = st.integers(-(1 << 63), (1 << 63) - 1)
entries = st.builds(Entry, st.binary(max_size=300), longs, longs, longs)


def _node(entry: Entry) -> bytes:
    stat = struct.pack("!qqqqiiiqiiq", entry.czxid, entry.mzxid, 5, 6, 7, 8, 9, entry.owner, 11, 12, 13)
    return struct.pack("!i", len(entry.data)) + entry.data + stat


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
def test_an_entry_equals_kazoos(entry):
    """Decoded as by kazoo, which returns more."""
    data, stat = kazoo.GetData.deserialize(_node(entry), 0)
    assert (data, stat.czxid, stat.mzxid, stat.ephemeralOwner) == entry


def test_a_node_without_data_is_empty():
    """ZooKeeper distinguishes null, of length -1, from empty; a record is bytes."""
    null = struct.pack("!i", -1) + struct.pack("!qqqqiiiqiiq", *range(11))
    answer = struct.pack("!iBi", 4, 0, 0) + null + struct.pack("!iBi", -1, 1, -1)
    assert MultiRead.deserialize(answer, 0) == [Entry(b"", 0, 1, 7)]


def test_a_watch():
    """The path and the recursive mode, as in zookeeper.jute."""
    assert AddWatch("/a").serialize() == struct.pack("!i2si", 2, b"/a", 1)
