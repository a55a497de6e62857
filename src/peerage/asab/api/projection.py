"""Records and ids in the form of the original."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Final

from peerage.records.instance import Id, Instance

__all__ = ["advertised_ids", "records"]

#: Keys of a record that the original indexes, besides the keys of ``discovery``.
_INDEXED: Final = ("instance_id", "service_id")

_ID_TYPES: Final = (str, int, float)

#: Seconds of work between two turns of the event loop.
_SLICE: Final = 0.003


async def records(instances: Iterable[Instance]) -> AsyncIterator[tuple[Instance, dict[str, Any]]]:
    """Yield each instance with its parsed record, with pauses for the event loop."""
    turn_ends = time.monotonic() + _SLICE
    for instance in instances:
        yield instance, instance.record()
        if time.monotonic() >= turn_ends:
            await asyncio.sleep(0)
            turn_ends = time.monotonic() + _SLICE


def advertised_ids(record: Mapping[str, Any]) -> Iterator[tuple[str, list[Id]]]:
    """Yield each key by which the original finds *record*, with its values: 9 and "9" are two."""
    top = [key for key in _INDEXED if _usable(record.get(key))]
    for key in top:
        yield key, [record[key]]
    custom = record.get("discovery")
    if isinstance(custom, dict):
        for key, values in custom.items():
            if key not in top and isinstance(values, list):
                yield key, [value for value in values if _usable(value)]


def _usable(value: object) -> bool:
    return type(value) in _ID_TYPES and value != ""
