"""From a snapshot to the changes that it means."""

from collections.abc import Iterable, Iterator

from peerage.registry import Gone, Put, Record

__all__ = ["reconcile"]


def reconcile(known: Iterable[str], records: Iterable[Record]) -> Iterator[Put | Gone]:
    """Yield the events that lead from the records that are known to a snapshot.

    Additions and updates come first and removals last, so that no id is without instances in between. The
    caller may pause between any two.

    Args:
        known: names of the records that are known.
        records: all records of the snapshot.
    """
    vanished = dict.fromkeys(known)
    for record in records:
        vanished.pop(record.name, None)
        yield Put(record)
    for name in vanished:
        yield Gone(name)
