"""The visible instances by each of their ids."""

from collections.abc import Sequence

from peerage.directory.bucket import Bucket, Standing, standing_of
from peerage.records.instance import Instance

__all__ = ["Index"]

_Pair = tuple[str, str]


class Index(dict[_Pair, Instance | Bucket]):
    """What is found under each ``(key, value)``; nothing is kept for nobody.

    An instance that is the only one under an id stands for itself: most ids are somebody's own, and a bucket
    for each would cost 150 bytes and a look of the garbage collector. One that can't be called has a bucket
    always, so that ``urls`` means the same of both.
    """

    def enter(self, instance: Instance, instead_of: Instance | None) -> None:
        """Add *instance* under all its ids; *instead_of* leaves next, and may be replaced at once."""
        standing = standing_of(instance)
        alone = standing is not Standing.UNCALLABLE
        for pair in instance.ids:
            found = self.get(pair)
            if alone and (found is None or found is instead_of):
                self[pair] = instance
                continue
            if isinstance(found, Bucket):
                bucket = found
            else:
                bucket = self[pair] = Bucket()
                if found is not None:
                    bucket.enter(found, standing_of(found))
            bucket.enter(instance, standing)

    def leave(self, instance: Instance) -> None:
        """Remove *instance*, which entered, from under all its ids."""
        standing = standing_of(instance)
        for pair in instance.ids:
            found = self[pair]
            if isinstance(found, Bucket):
                found.leave(instance, standing)
                if found.size:
                    continue
            elif found is not instance:
                continue  # its successor has its place
            del self[pair]

    def targets(self, pair: _Pair) -> Sequence[Instance]:
        """Return where requests for *pair* go; see :attr:`Bucket.targets`."""
        found = self.get(pair)
        if found is None:
            return ()
        return found.targets if isinstance(found, Bucket) else (found,)

    def everybody(self, pairs: Sequence[_Pair]) -> list[Instance]:
        """Return all who are under the rarest of *pairs*; nobody if one of them has nobody."""
        groups = [self[pair] for pair in pairs if pair in self]
        if len(groups) < len(pairs):
            return []
        rarest = min(groups, key=_size)
        return rarest.everybody if isinstance(rarest, Bucket) else [rarest]


def _size(group: Instance | Bucket) -> int:
    return group.size if isinstance(group, Bucket) else 1
