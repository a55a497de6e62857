"""The cluster's key on disk, for a start while the registry is out of reach; only with the user's consent."""

from collections.abc import Iterable

from peerage.disk_cache import DiskCache, Entry
from peerage.disk_cache.format import UnusableFileError
from peerage.membership import Membership
from peerage.registry import Record


class SavedKey:
    """Saves a secret of the registry in a file of this user, and loads it in an outage.

    Args:
        cache: for it alone.
        membership: says whether the registry is out of reach.
        name: of the secret.
    """

    def __init__(self, cache: DiskCache, membership: Membership, name: str) -> None:
        self._cache = cache
        self._membership = membership
        self._name = name
        self._value: bytes | None = None
        self._is_new = False

    def start(self) -> None:
        """Begin to save what :meth:`keep` gets; needs the running event loop."""
        self._cache.start(self._to_save)

    def keep(self, value: bytes) -> None:
        """Save the secret, which the registry has just said, soon."""
        if value != self._value:
            self._value, self._is_new = value, True
            self._cache.changed()

    async def load(self) -> tuple[bytes, float] | None:
        """Wait until the registry is out of reach; return the secret that was saved and its age in seconds.

        Returns:
            None if nothing usable was saved at most a day ago; the log says why.

        Raises:
            RegistryClosedError: the Discovery was closed meanwhile.
        """
        await self._membership.wait_stale()
        if (loaded := await self._cache.load()) is None:
            return None
        try:
            found = [record.data for record, _ in loaded.entries if record.name == self._name]
        except UnusableFileError as error:
            self._cache.ignore(error)
            return None
        return (found[0], loaded.age) if found else None

    def _to_save(self) -> Iterable[Entry] | None:
        # While the registry is out of reach, it isn't known whether the key was replaced there: the file
        # keeps its age.
        if self._value is None or (self._membership.stale is not None and not self._is_new):
            return None
        self._is_new = False
        return (Entry(Record(self._name, self._value, 0, ephemeral=False)),)

    async def aclose(self) -> None:
        """Stop saving."""
        await self._cache.aclose()
