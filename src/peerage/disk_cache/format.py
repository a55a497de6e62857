"""The format of a disk cache's file; pure.

Its first line is ``peerage disk cache`` and the version of the format. The second one is a JSON object with
the registry's ``url`` and the fields of :class:`Moment`. Then the records follow, each as a head of fixed
size (the lengths of name and data, the sequence, the flags), its name and its data. The last four bytes are
the CRC-32 of everything before.

A file of another version is ignored, and so is one whose checksum is wrong: the next file that is saved
replaces it.
"""

import json
import math
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple
from zlib import crc32

from peerage.registry import RECORD_LIMIT, Record

VERSION: Final = 1

_MAGIC: Final = b"peerage disk cache "

#: Bytes of the first two lines, at most.
_LONGEST_LINE: Final = 64 * 1024

#: Bytes of the name, bytes of the data, sequence, flags.
_HEAD: Final = struct.Struct(">HIqB")
_CHECKSUM: Final = struct.Struct(">I")

#: Bytes of a name, at most: ZooKeeper's nodes may have longer ones.
_LONGEST_NAME: Final = 0xFFFF

_EPHEMERAL: Final = 1
_SUSPECT: Final = 2

#: Bytes that are joined before they are written.
_CHUNK: Final = 64 * 1024


class UnusableFileError(Exception):
    """A file isn't used; the message says why, and what to do if anything can be done."""


class Moment(NamedTuple):
    """A point in time, by two clocks."""

    boot: str
    """Identifies the time since the machine was started last; empty where nothing does."""
    uptime: float
    """Seconds since then, those in which the machine was suspended included."""
    time: float
    """Seconds since the epoch, by a clock that may have been set meanwhile."""

    def seconds_since(self, earlier: "Moment") -> float:
        """Return the time from *earlier* to this moment; negative if the clock was set back in between.

        Within one run of the machine, setting the clock makes no difference.
        """
        if self.boot and self.boot == earlier.boot:
            return self.uptime - earlier.uptime
        return self.time - earlier.time


class Entry(NamedTuple):
    """One record as it was read from the registry."""

    record: Record
    suspect: bool = False
    """Whether the record has vanished from the registry, and its instance was kept."""


class Saved(NamedTuple):
    """What a file says."""

    when: Moment
    entries: Iterator[Entry]
    """To be read once; may raise UnusableFileError after some of them."""


def encode(url: str, when: Moment, entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the content of the file, in chunks.

    Args:
        url: of the registry, without credentials.
        when: now.
        entries: what is known. A record that doesn't fit into the format is left out: its sequence is beyond
            64 bits, its name beyond 64 kB or no Unicode text, or its data beyond the limit of a record.
    """
    header = {"url": url, **when._asdict()}
    parts = [_MAGIC + b"%d\n" % VERSION, json.dumps(header).encode() + b"\n"]
    size, checksum = 0, 0
    for record, suspect in entries:
        if (name := _fitting_name(record)) is None:
            continue
        flags = _EPHEMERAL * record.ephemeral | _SUSPECT * suspect
        parts += (_HEAD.pack(len(name), len(record.data), record.sequence, flags), name, record.data)
        size += len(record.data)
        if size >= _CHUNK:
            chunk = b"".join(parts)
            checksum = crc32(chunk, checksum)
            yield chunk
            parts, size = [], 0
    chunk = b"".join(parts)
    yield chunk + _CHECKSUM.pack(crc32(chunk, checksum))


def _fitting_name(record: Record) -> bytes | None:
    """Return the name of a record that fits into the format; None for another record."""
    if not -(1 << 63) <= record.sequence < 1 << 63 or len(record.data) > RECORD_LIMIT:
        return None
    try:
        name = record.name.encode()
    except UnicodeEncodeError:  # unpaired surrogates, which a backend of another package may have
        return None
    return name if len(name) <= _LONGEST_NAME else None


def decode(content: bytes, url: str) -> Saved:
    """Return what the content of a file says about the registry *url*.

    Raises:
        UnusableFileError: it is damaged, of another version, or about another registry.
    """
    magic, body = _line(content, 0)
    if not magic.startswith(_MAGIC):
        raise UnusableFileError("it isn't a file of peerage")
    if magic != _MAGIC + b"%d" % VERSION:
        version = magic[len(_MAGIC) : len(_MAGIC) + 20].decode(errors="replace")
        raise UnusableFileError(
            f"another version of peerage has written it: its format is {version!a}, this one reads {VERSION}"
        )
    end = len(content) - _CHECKSUM.size
    if end < body or crc32(memoryview(content)[:end]) != _CHECKSUM.unpack_from(content, end)[0]:
        raise UnusableFileError("it is damaged: its checksum is wrong")
    header, begin = _line(content, body)
    try:
        found: dict[str, Any] = json.loads(header)
        when = Moment(str(found["boot"]), float(found["uptime"]), float(found["time"]))
        said_url = found["url"]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UnusableFileError(f"it is damaged: its header can't be read ({error!r})") from None
    if not math.isfinite(when.uptime + when.time):
        raise UnusableFileError("it is damaged: its header can't be read (it has no time)")
    if said_url != url:
        raise UnusableFileError("it is about another registry")
    return Saved(when, _entries(content, begin, end))


def _line(content: bytes, begin: int) -> tuple[bytes, int]:
    """Return the line at *begin*, and where the next one begins."""
    end = content.find(b"\n", begin, begin + _LONGEST_LINE)
    if end < 0:
        raise UnusableFileError("it isn't a file of peerage, or it is cut off")
    return content[begin:end], end + 1


def _entries(content: bytes, begin: int, end: int) -> Iterator[Entry]:
    # The checksum was right, so a defect of the program that wrote it is all that can be found here.
    while begin < end:
        if begin + _HEAD.size > end:
            raise UnusableFileError("it is damaged: a record is cut off")
        name_size, data_size, sequence, flags = _HEAD.unpack_from(content, begin)
        begin += _HEAD.size
        if begin + name_size + data_size > end or data_size > RECORD_LIMIT:
            raise UnusableFileError("it is damaged: a record is cut off")
        try:
            name = content[begin : begin + name_size].decode()
        except ValueError:
            raise UnusableFileError("it is damaged: the name of a record can't be read") from None
        begin += name_size
        data = content[begin : begin + data_size]
        begin += data_size
        yield Entry(Record(name, data, sequence, bool(flags & _EPHEMERAL)), bool(flags & _SUSPECT))
