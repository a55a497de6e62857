"""Who is there: the in-memory index of instances.

Pure and synchronous: whoever owns it feeds it records and asks it questions, on one thread. Applying a change
costs the same whatever the size; an answer is made anew only if what it was made of has changed.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from peerage.directory.bucket import prefer_ready, urls_of
from peerage.directory.incarnations import Incarnations
from peerage.directory.index import Index
from peerage.records.instance import Instance, decode
from peerage.records.names import fold_key, fold_value
from peerage.records.networks import ANYWHERE, Networks
from peerage.registry import Record

__all__ = ["Change", "Criteria", "Directory", "fold_criteria"]

log = logging.getLogger(__name__)

#: ``((key, value), …)``, folded; an instance must match all of them.
Criteria = tuple[tuple[str, str], ...]

#: Answers to several criteria at once that are remembered; above it all are forgotten together.
_REMEMBERED: Final = 1024

#: Records whose problems are logged; one that comes back as another node is another record.
_COMPLAINTS: Final = 1000

_OWNERLESS: Final = "No process owns it, so it isn't called: remove it if nobody needs it."

#: An id that nobody has: an empty one isn't read.
_NOBODY: Final = ""

_NO_URLS: Final[tuple[str, ...]] = ()


class Change(NamedTuple):
    """One visible instance came (*before* is None), went (*after* is None), or is another now."""

    before: Instance | None
    after: Instance | None


def fold_criteria(criteria: Mapping[str, object]) -> Criteria:
    """Return *criteria* in the form the directory compares. None is nobody's id.

    >>> fold_criteria({"service-id": "Orders"})
    (('service_id', 'orders'),)
    """
    return tuple(
        (fold_key(key), _NOBODY if value is None else fold_value(value)) for key, value in criteria.items()
    )


class Directory:
    """Instances by node and by id; of several records of one instance the newest.

    Args:
        host_key: the host this process runs on; decides which loopback addresses are its own.
        networks: where instances may be called.
    """

    def __init__(self, *, host_key: str | None = None, networks: Networks = ANYWHERE) -> None:
        self._host_key = host_key
        self.networks = networks
        """Where instances may be called."""
        self._nodes: dict[str, Instance] = {}
        self._problems: dict[str, tuple[str, ...]] = {}
        self._complained: set[str] = set()
        self._twins = Incarnations()
        self._index = Index()
        self._answers: dict[Criteria, tuple[str, ...]] = {}
        self._answered = 0
        self._subscribers: dict[object, Callable[[Change], None]] = {}
        self._failed: set[object] = set()
        self.generation = 0
        """Grows with every visible change."""

    # Being fed

    def put(self, record: Record) -> None:
        """A record is there or has changed; what can't be used of it stands under :attr:`problems`."""
        old = self._nodes.get(record.name)
        if old is not None and (old.data, old.sequence, old.ephemeral) == record[1:]:
            return
        new, problems = decode(
            record.name,
            record.data,
            record.sequence,
            ephemeral=record.ephemeral,
            host_key=self._host_key,
            networks=self.networks,
        )
        self._note(record.name, problems)
        if not record.ephemeral:
            self._complain(record.name, (_OWNERLESS,))
        if new is None:
            self._nodes.pop(record.name, None)
        else:
            self._nodes[record.name] = new
        self._replace(old, new)

    def gone(self, node: str) -> None:
        """A record isn't there any more; an unknown one is no error."""
        self._problems.pop(node, None)
        self._replace(self._nodes.pop(node, None), None)

    def nodes(self) -> set[str]:
        """Return the nodes of all records known, unusable ones included."""
        return self._nodes.keys() | self._problems.keys()

    def _note(self, node: str, problems: tuple[str, ...]) -> None:
        if problems:
            self._problems[node] = problems
            self._complain(node, problems)
        else:
            self._problems.pop(node, None)

    def _complain(self, node: str, problems: tuple[str, ...]) -> None:
        """Log once for each record, whatever is wrong with it later, and not for thousands of them."""
        if node in self._complained or len(self._complained) > _COMPLAINTS:
            return
        self._complained.add(node)
        if len(self._complained) > _COMPLAINTS:
            log.warning("More records have problems, which aren't logged any more: see `peerage ls`.")
        else:
            log.warning("Record %s of the registry: %s", ascii(node), " ".join(problems))

    def _replace(self, old: Instance | None, new: Instance | None) -> None:
        for before, after in self._twins.replace(old, new):
            # The new one first: a name that both bear is never empty in between.
            if after is not None:
                self._index.enter(after, before)
            if before is not None:
                self._index.leave(before)
            self.generation += 1
            if self._subscribers:
                self._tell(Change(before, after))

    # Being asked

    def __len__(self) -> int:
        """Return the number of readable records, twins included."""
        return len(self._nodes)

    def __iter__(self) -> Iterator[Instance]:
        """Iterate over all readable records: hidden twins and uncallable ones included."""
        return iter(tuple(self._nodes.values()))

    def get(self, node: str) -> Instance | None:
        """Return the instance whose record is *node*."""
        return self._nodes.get(node)

    @property
    def problems(self) -> Mapping[str, tuple[str, ...]]:
        """What couldn't be used, by node; a sentence each."""
        return MappingProxyType(self._problems)

    def targets(self, key: str, value: str) -> Sequence[Instance]:
        """Return where requests for one name (folded) go; draining instances only if there are no others.

        It is the directory's own list, in no order: look, don't keep, don't change.
        """
        return self._index.targets((key, value))

    def find(self, criteria: Criteria = ()) -> list[Instance]:
        """Return the visible instances matching all *criteria* (none: all), uncallable ones included."""
        if not criteria:
            return list(self._twins)
        return [instance for instance in self._index.everybody(criteria) if _matches(instance, criteria)]

    def urls(self, criteria: Criteria = ()) -> tuple[str, ...]:
        """Return ``scheme://host:port`` of all targets that match all *criteria*; some may be repeated."""
        if len(criteria) == 1:
            found = self._index.get(criteria[0])
            return _NO_URLS if found is None else found.urls
        if self._answered != self.generation or len(self._answers) >= _REMEMBERED:
            self._answers.clear()
            self._answered = self.generation
        answer = self._answers.get(criteria)
        if answer is None:
            answer = self._answers[criteria] = urls_of(prefer_ready(self.find(criteria)))
        return answer

    # Telling others

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call *callback* after each visible change, from within the call that applied it.

        An exception out of it reaches nobody else; of each subscriber the first is logged.

        Returns:
            A function that ends the subscription; may be called twice.
        """
        token = object()
        self._subscribers[token] = callback

        def unsubscribe() -> None:
            self._subscribers.pop(token, None)
            self._failed.discard(token)

        return unsubscribe

    def _tell(self, change: Change) -> None:
        for token, callback in tuple(self._subscribers.items()):
            try:
                callback(change)
            except Exception:
                if token not in self._failed:
                    self._failed.add(token)
                    log.exception("A subscriber of the directory failed; the others were told")


def _matches(instance: Instance, criteria: Criteria) -> bool:
    return all(pair in instance.ids for pair in criteria)
