"""The in-memory index of instances.

Pure and synchronous, and used on one thread. Applying a change takes the same time whatever the number of
instances. An answer is computed again only if what it was made of has changed.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple

from cachetools import LRUCache

from peerage.directory.criteria import Criteria
from peerage.directory.guard import Guard
from peerage.directory.incarnations import Incarnations
from peerage.directory.index import Index, Standing
from peerage.directory.members import Members, urls_of
from peerage.records.decode import decode
from peerage.records.instance import Instance
from peerage.records.networks import ANYWHERE, Networks
from peerage.registry import Record
from peerage.timing import monotonic

log = logging.getLogger(__name__)

#: Bytes of the remembered answers to several criteria at once.
_REMEMBERED: Final = 1_000_000

#: Records whose problems are logged. A record that comes back under another name is another record.
_MOST_LOGGED: Final = 1000


class Change(NamedTuple):
    """A visible instance joined (*before* is None), left (*after* is None) or has another record."""

    before: Instance | None
    after: Instance | None


class Problems(NamedTuple):
    """A record has other problems than before."""

    name: str
    """Name of the record in the registry."""
    sentences: tuple[str, ...]
    """What can't be used, a sentence each; empty if all of the record can be used, or if it was removed."""


class Hidden(NamedTuple):
    """A superseded record came, changed or went, which changes nothing that is visible."""

    name: str
    """Name of the record in the registry."""


DirectoryEvent = Change | Problems | Hidden


class Counts(NamedTuple):
    """How many records there are."""

    records: int
    """All records, unreadable ones included."""
    malformed: int
    """Records with problems, unreadable ones included."""
    visible: int
    """Instances: readable records without the superseded ones."""
    standings: Mapping[Standing, int]
    """Instances of each standing."""
    changes: int
    """Visible changes since the beginning."""


class Directory:
    """Instances by the name of their record and by their ids; of several records of one instance the newest.

    It counts and yields all readable records, superseded and uncallable ones included.

    Args:
        host_key: the host this process runs on; loopback addresses of other hosts aren't called.
        networks: where instances may be called.
        guard: decides which instances are kept although their records vanished; None: none.
        clock: monotonic time in seconds, for the guard.
    """

    def __init__(
        self,
        *,
        host_key: str | None = None,
        networks: Networks = ANYWHERE,
        guard: Guard | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._host_key = host_key
        self.guard = guard
        """Decides which instances are kept although their records vanished."""
        self._clock = clock
        self.networks = networks
        """Where instances may be called."""
        self._instances: dict[str, Instance] = {}
        self._problems: dict[str, tuple[str, ...]] = {}
        self._logged: set[str] = set()
        self._incarnations = Incarnations()
        self._index = Index()
        # One kilobyte for the criteria; the URLs are in memory anyway.
        self._answers = LRUCache[Criteria, tuple[str, ...]](_REMEMBERED, lambda urls: 1000 + 8 * len(urls))
        self._answered = 0
        self._subscribers: dict[object, Callable[[DirectoryEvent], None]] = {}
        self._failed: set[object] = set()
        self.generation = 0
        """Grows with every visible change."""
        self.displaced: list[str] = []
        """What was known under names that other records have now; to be removed after those were put."""
        self.unconfirmed: set[str] = set()
        """The names of records of the disk cache, as long as the registry hasn't been read."""

    # Changes

    def put(self, record: Record) -> None:
        """Apply a record that is new or has changed; what can't be used of it is in :attr:`problems`."""
        old = self._instances.get(record.name)
        if old is not None and (old.data, old.sequence, old.ephemeral) == record[1:] and not old.suspect:
            self.unconfirmed.discard(record.name)
            return
        new, problems = decode(
            record.name,
            record.data,
            record.sequence,
            ephemeral=record.ephemeral,
            host_key=self._host_key,
            networks=self.networks,
        )
        if old is not None and self.guard is not None and self.guard.is_another(new, old, record.sequence):
            old = self._set_aside(self.guard, old)
        self.unconfirmed.discard(record.name)
        if new is None:
            self._instances.pop(record.name, None)
        else:
            self._instances[record.name] = new
        self._apply(record.name, old, new, problems)
        if self.guard is not None:
            self._arrived(self.guard, old, new)
        if problems:
            self._log_once(record.name, " ".join(problems))
        elif not record.ephemeral:
            unowned = "No process owns it, so it isn't called: remove it if it isn't needed."
            self._log_once(record.name, unowned)

    def _set_aside(self, guard: Guard, old: Instance) -> Instance | None:
        """Rename *old*, as another instance has its name; return it if that can't be done, else None."""
        name = f"{old.name}#{old.sequence}"
        if name in self._instances:
            return old
        aside = self._instances[name] = replace(old, name=name)
        del self._instances[old.name]
        self._apply(old.name, old, aside, ())
        guard.renamed(old, aside)
        if old.name in self.unconfirmed:
            self.unconfirmed.add(name)
        self.displaced.append(name)
        return None

    def restore(self, record: Record, *, suspect: bool = False) -> None:
        """Apply a record of the disk cache, which is :attr:`unconfirmed` until the registry has it as well.

        Args:
            record: as the registry said once.
            suspect: whether it vanished then, and its instance was kept.
        """
        self.put(record)
        instance = self._instances.get(record.name)
        if instance is not None:
            self.unconfirmed.add(record.name)
            if suspect and self.guard is not None:
                self._make_suspect([self.guard.suspect(instance, self._clock())])

    def remove(self, name: str, *, withdrawn: bool = False) -> None:
        """Remove the record *name*; an unknown one is no error. Its instance may stay, as a suspect.

        Args:
            name: of the record.
            withdrawn: whether its instance certainly stops.
        """
        instance, guard = self._instances.get(name), self.guard
        if guard is None or instance is None:
            self._discard(name)
        elif withdrawn or (name not in guard.suspects and not self._keep(guard, instance)):
            self._drop(guard, instance)

    def refused(self, name: str) -> None:
        """Drop the instance of the record *name* if it is suspect: it isn't at its address any more."""
        if self.guard is not None and name in self.guard.suspects:
            self._drop(self.guard, self._instances[name])

    def expire(self) -> float | None:
        """Drop the suspects whose time is over; return the seconds until the next one's, None without any."""
        guard, now = self.guard, self._clock()
        if guard is None:
            return None
        for name in guard.expired(now):
            self._drop(guard, self._instances[name])
        return None if guard.expiry is None else max(0.0, guard.expiry - now)

    def _keep(self, guard: Guard, instance: Instance) -> bool:
        """Make *instance*, whose record vanished, suspect if it is to be kept, and others with it."""
        if not (instance.callable and self._incarnations.is_alone(instance)) or instance.draining:
            return False
        ready = {pair: self._index.ready(pair) for pair in instance.ids}
        kept = guard.vanished(
            instance,
            len(self._instances) - 1,
            [pair for pair, count in ready.items() if count <= 1],
            self._clock(),
            replaced=any(count > 1 for (key, _), count in ready.items() if key == "instance_id"),
        )
        self._make_suspect(kept)
        if kept and len(guard.suspects) == len(kept):
            # Once for all that follow.
            log.info(
                "The record %a vanished. Its instance may be alive, so it stays known as a suspect; more may "
                "follow.",
                kept[0].name[:100],
            )
        return any(suspect.name == instance.name for suspect in kept)

    def _make_suspect(self, kept: Iterable[Instance]) -> None:
        for suspect in kept:
            name = suspect.name
            old = self._instances.get(name)
            self._instances[name] = suspect
            self._apply(name, old, suspect, self._problems.get(name, ()))

    def _arrived(self, guard: Guard, old: Instance | None, new: Instance | None) -> None:
        """Drop the suspects that the record of *new* replaces."""
        if old is not None:
            self._forgive(guard, old)
        for name in () if new is None else guard.arrived(new):
            self._drop(guard, self._instances[name])

    def _forgive(self, guard: Guard, instance: Instance) -> None:
        """Forget that *instance* is suspect, if it is."""
        if guard.suspects:
            guard.drop(instance)
            if not guard.suspects:
                log.info("No suspects are left: their records are there again, or they were dropped.")

    def _drop(self, guard: Guard, instance: Instance) -> None:
        self._forgive(guard, instance)
        guard.left(instance)
        self._discard(instance.name)

    def _discard(self, name: str) -> None:
        self.unconfirmed.discard(name)
        self._apply(name, self._instances.pop(name, None), None, ())

    def names(self) -> KeysView[str]:
        """Return the names of all records, unreadable ones included, always in the same order."""
        return (dict.fromkeys(self._instances) | dict.fromkeys(self._problems)).keys()

    def _apply(
        self, name: str, old: Instance | None, new: Instance | None, problems: tuple[str, ...]
    ) -> None:
        earlier = self._problems.pop(name, ())
        if problems:
            self._problems[name] = problems
        changes = self._incarnations.replace(old, new)
        for before, after in changes:
            # The new one first: an id that both have is never without an instance in between.
            if after is not None:
                self._index.add(after, Standing.of(after), before)
            if before is not None:
                self._index.discard(before)
            self.generation += 1
            if self._subscribers:
                self._publish(Change(before, after))
        if not self._subscribers:
            return
        if not changes and old is not new:
            self._publish(Hidden(name))
        if problems != earlier:
            self._publish(Problems(name, problems))

    def _log_once(self, name: str, problems: str) -> None:
        """Log the first problems of each record, of the first thousand records."""
        name = name[:100]  # as it is remembered
        if name in self._logged or len(self._logged) > _MOST_LOGGED:
            return
        self._logged.add(name)
        if len(self._logged) > _MOST_LOGGED:
            log.warning("More records have problems, which aren't logged any more: see `peerage ls`.")
        else:
            log.warning("Record %a of the registry: %s", name, problems)

    # Questions

    def __len__(self) -> int:
        return len(self._instances)

    def __iter__(self) -> Iterator[Instance]:
        return iter(tuple(self._instances.values()))

    def get(self, name: str) -> Instance | None:
        """Return the instance whose record has this name."""
        return self._instances.get(name)

    def is_visible(self, instance: Instance) -> bool:
        """Tell whether *instance*, one of the known ones, has no newer record."""
        return self._incarnations.is_newest(instance)

    @property
    def problems(self) -> Mapping[str, tuple[str, ...]]:
        """What couldn't be used, a sentence each, by the name of the record."""
        return MappingProxyType(self._problems)

    def count(self) -> Counts:
        """Return how many records there are.

        It takes time for each one that has problems or isn't ready, and may be called on any thread.
        """
        others, visible = Counter(tuple(self._index.standings.values())), len(self._incarnations)
        problems = tuple(self._problems)
        return Counts(
            records=len(self._instances) + sum(name not in self._instances for name in problems),
            malformed=len(problems),
            visible=visible,
            standings={Standing.READY: max(0, visible - sum(others.values())), **others},
            changes=self.generation,
        )

    def count_by(self, key: str) -> Mapping[str, Mapping[Standing, int]]:
        """Return how many instances of each standing have each value of *key*, both folded.

        It takes time for each id of all instances, and may be called on any thread.
        """
        return self._index.count_by(key)

    def targets(self, key: str, value: str) -> Members:
        """Return where requests for ``(key, value)``, go; draining ones and suspects only without others.

        The list is in no order and may be the directory's own: don't change it, and don't keep it.
        """
        return self._index.targets((key, value))

    def fallbacks(self, key: str, value: str) -> list[Members]:
        """Return lists of further instances, for requests that no target answers: draining ones, suspects."""
        return self._index.fallbacks((key, value))

    def find(self, criteria: Criteria = ()) -> list[Instance]:
        """Return the visible instances that match all *criteria* (none: all), uncallable ones included."""
        return self._index.matching(criteria) if criteria else list(self._incarnations)

    def urls(self, criteria: Criteria = ()) -> tuple[str, ...]:
        """Return ``scheme://host:port`` of all targets that match all *criteria*; some may be repeated."""
        if len(criteria) == 1:
            return self._index.urls(criteria[0])
        if self._answered != self.generation:
            self._answers.clear()
            self._answered = self.generation
        answer = self._answers.get(criteria)
        if answer is None:
            answer = urls_of(self._index.preferred(self.find(criteria)))
            with suppress(ValueError):  # it is larger than all that is remembered
                self._answers[criteria] = answer
        return answer

    # Subscribers

    def subscribe(self, callback: Callable[[DirectoryEvent], None]) -> Callable[[], None]:
        """Call *callback* after each visible change, and after each change of problems.

        It is called from within :meth:`put` or :meth:`remove`. An exception that it raises is logged, once
        for each subscription, and stops neither the change nor the other subscribers. What is returned ends
        the subscription, and may be called twice.
        """
        token = object()
        self._subscribers[token] = callback

        def unsubscribe() -> None:
            self._subscribers.pop(token, None)
            self._failed.discard(token)

        return unsubscribe

    def _publish(self, event: DirectoryEvent) -> None:
        for token, callback in tuple(self._subscribers.items()):
            try:
                callback(event)
            except Exception:
                if token not in self._failed:
                    self._failed.add(token)
                    log.exception("A subscriber of the directory failed; the others were called")
