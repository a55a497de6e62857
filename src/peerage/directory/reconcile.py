"""From a snapshot to the changes that it means."""

from collections.abc import Iterable, Iterator

from peerage.registry import Gone, Put, Record


def reconcile(known: Iterable[str], records: Iterable[Record]) -> Iterator[Put | Gone]:
    """Yield the events that lead from the records named *known* to those of a snapshot.

    Additions and updates come first and removals last, so that no id is without instances in between. The
    caller may pause between any two.
    """
    vanished = dict.fromkeys(known)
    for record in records:
        vanished.pop(record.name, None)
        yield Put(record)
    yield from map(Gone, vanished)
