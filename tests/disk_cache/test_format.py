"""The format of the file, and what is said of one that can't be used."""

from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerage.disk_cache.format import Entry, Moment, UnusableFileError, decode, encode
from peerage.registry import RECORD_LIMIT, Record

URL = "zookeeper://zk-1:2181/asab"
WHEN = Moment("a boot", 12.5, 1_800_000_000.0)

records = st.builds(
    Record,
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=100),
    data=st.binary(max_size=1000),
    sequence=st.integers(-(1 << 63), (1 << 63) - 1),
    ephemeral=st.booleans(),
)
entries = st.lists(st.builds(Entry, records, st.booleans()), max_size=8)


def encoded(*known, url=URL):
    return b"".join(encode(url, WHEN, known))


def read(content):
    saved = decode(content, URL)
    return [saved.when, *saved.entries]


@settings(max_examples=25)
@given(entries)
def test_what_was_written_is_read(known):
    """All of it: names, data, sequences, flags, their order, and when that was."""
    assert read(encoded(*known)) == [WHEN, *known]


@settings(max_examples=25)
@given(entries, st.data())
def test_a_changed_byte_is_noticed(known, data):
    """Or none of it is used: nothing else is ever returned."""
    content = bytearray(encoded(*known))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(UnusableFileError):
        read(bytes(content))


@settings(max_examples=25)
@given(entries, st.data())
def test_a_part_is_noticed(known, data):
    """A file that was cut off anywhere."""
    content = encoded(*known)
    with pytest.raises(UnusableFileError):
        read(content[: data.draw(st.integers(0, len(content) - 1))])


@settings(max_examples=25)
@given(st.binary(max_size=500))
def test_garbage_is_noticed(content):
    """With and without the beginning of a real file."""
    for beginning in (b"", b"peerage disk cache 1\n", encoded()[:-4]):
        with pytest.raises(UnusableFileError):
            read(beginning + content)


def test_large_records_are_kept():
    """Up to the limit of the registry, in several chunks."""
    known = [Entry(Record(str(number), b"x" * RECORD_LIMIT, number)) for number in range(5)]
    assert len(list(encode(URL, WHEN, known))) > 1
    assert read(encoded(*known)) == [WHEN, *known]


@pytest.mark.parametrize(
    "left_out",
    [
        Record("large", b"{}", 1 << 63),
        Record("x" * 65_536, b"{}", 1),
        Record("unpaired \ud800", b"{}", 1),
        Record("a", b"x" * (RECORD_LIMIT + 1), 1),
    ],
    ids=["sequence", "long name", "name", "data"],
)
def test_a_record_that_doesnt_fit_is_left_out(left_out):
    """ZooKeeper's nodes and backends of other packages may have such ones; the other records are kept."""
    kept = Entry(Record("x" * 65_535, b"{}", 1))
    assert read(encoded(Entry(left_out), kept)) == [WHEN, kept]


@pytest.mark.parametrize(
    "header",
    [
        b"[1]",
        b"[" * 60_000,
        b"{}",
        b'{"boot":"","uptime":1%s,"time":1,"url":"x"}' % (b"0" * 400),
        b'{"boot":"","uptime":NaN,"time":1,"url":"x"}',
        b'{"boot":"","uptime":1,"time":1e999,"url":"x"}',
    ],
    ids=["list", "deep", "empty", "large number", "NaN", "infinite"],
)
def test_a_header_without_sense_is_noticed(header):
    """Although the checksum is right."""
    content = b"peerage disk cache 1\n" + header + b"\n"
    with pytest.raises(UnusableFileError, match="header can't be read"):
        read(content + crc32(content).to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "isn't a file of peerage"),
        (b"\x7fELF\n", "isn't a file of peerage"),
        (b"peerage disk cache 2\n{}\n", "another version"),
        (encoded()[:-1], "checksum"),
        (encoded(url="zookeeper://zk-9:2181/asab"), "another registry"),
    ],
)
def test_the_reason_is_said(content, reason):
    """In words for the log."""
    with pytest.raises(UnusableFileError, match=reason):
        read(content)


def test_time_within_one_run_of_the_machine():
    """Setting the clock makes no difference, and suspended time counts; later only the clock is left."""
    earlier = Moment("boot", 100.0, 5000.0)
    assert Moment("boot", 160.0, 99.0).seconds_since(earlier) == 60
    assert Moment("other", 5.0, 5600.0).seconds_since(earlier) == 600
    assert Moment("", 0.0, 5600.0).seconds_since(Moment("", 0.0, 5000.0)) == 600
