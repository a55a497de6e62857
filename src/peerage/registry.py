"""THE PORT: what peerage asks of a registry, and the contract every backend keeps.

A registry is a folder of records, each owned by a live process. A backend implements :class:`Registry` with
:class:`Advertisement`, :class:`Watch` and, if it can, :class:`Secrets`, and names its factory in the entry
point group ``peerage.registries`` under the scheme of its URL. :class:`peerage.testing.RegistryConformance`
is this contract as tests.

Watching
    ``watch()`` first yields a :class:`Snapshot`, or :class:`Stale` at once when the registry can't be
    reached; then :class:`Put` and :class:`Gone`. Nothing is lost between the snapshot and the changes. Events
    of one record keep their order. A change that repeats the last one may be left out, and so may one that a
    newer change of the same record has overtaken. Watchers are independent: a slow one gets the newest state
    of each record, never an unbounded queue, and doesn't delay the others.

Losing touch
    is ``Stale(reason)``: what was known stays true until something better is known. Recovery is a new
    ``Snapshot``. An error is never an empty snapshot. ``Stale`` may be repeated with another reason.

Order
    ``Record.sequence`` grows in the order of creation within one registry (ZooKeeper's czxid, a counter, the
    clock of one machine): of several records with one instance id, host and port, the one with the highest
    sequence is true. An update keeps it. ``ephemeral=False`` is a record that no process owns, such as one
    made by hand: it is listed but not called.

Names
    Each advertised record has a name that no other record of the registry has or had. The backend chooses it;
    readers treat it as opaque. (The backends of peerage append a number of ten digits or more, as ZooKeeper
    does for ASAB.)

Secrets
    Of several callers that obtain a secret which doesn't exist yet, all get the same value. More than one of
    them may make a value; the registry keeps one of these values, and the others are dropped.

Advertising
    ``advertise()`` returns at once, also with the registry out of reach. The backend registers as soon as it
    can, restores the record after a lost session, without duplicates, and writes nothing if the session
    survived. What the registry refuses is tried again from time to time; ``registered()`` raises
    RegistryDeniedError meanwhile. The record vanishes when its process dies, however it dies. The last
    ``update()`` wins; at most one is pending. ``withdraw()`` wins against everything, a reconnect included,
    and returns once the record is gone or, out of reach, once it can't come back.

Limits
    A record over :data:`RECORD_LIMIT` bytes isn't kept: ``advertise`` and ``update`` raise
    RegistryDeniedError, and a larger record of another program is not delivered (logged once). Names are
    ``[A-Za-z0-9_.-]``, at most 100 characters, and begin with a letter, digit or underscore.

Tidiness
    Constructors touch no event loop. Cancelling any call leaves nothing behind. ``aclose()`` withdraws
    everything, ends every watch (``StopAsyncIteration``), returns within a second even against a server that
    hangs, and may be called twice; any other call after it raises RegistryClosedError. No credential appears
    in ``url``, in a log or in an error.
"""

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Final, NamedTuple, Protocol, Self, runtime_checkable

from peerage.errors import ConfigurationError, MissingExtraError, RegistryDeniedError

#: Bytes of one record's data, at most.
RECORD_LIMIT: Final = 64 * 1024

#: Name of the secret that is the private key of a cluster, whatever the path of the registry (ASAB).
KEY_NAME: Final = "/asab/auth/internal_auth_private.key"

#: Names of own records that are remembered; each lost session makes new ones.
_REMEMBERED_NAMES: Final = 4096

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class Record(NamedTuple):
    """One record of the registry."""

    name: str
    """Name within the folder, opaque to readers: ``MyApplication.0000000042``."""
    data: bytes
    """What was advertised, normally one UTF-8 JSON object; nothing is promised about it."""
    sequence: int
    """Grows with the time of creation; not changed by an update."""
    ephemeral: bool = True
    """False if no process owns it."""


class Snapshot(NamedTuple):
    """Everything there is. What isn't in it is gone."""

    records: tuple[Record, ...]


class Put(NamedTuple):
    """A record is there, or has new data."""

    record: Record


class Gone(NamedTuple):
    """A record isn't present any more."""

    name: str
    withdrawn: bool = False
    """Whether it was certainly withdrawn, or its process has certainly ended; False if the registry doesn't
    know why it vanished. See :mod:`peerage.directory.guard`."""


class Stale(NamedTuple):
    """Out of touch with the registry; what was known stays true."""

    reason: str
    refused: bool = False
    """Whether the registry refuses to be read: waiting doesn't help, access must be granted."""
    age: float = 0.0
    """Seconds that have passed since the registry was in touch, but weren't counted: in suspension; all of
    them, if there are several events until it is back."""


Event = Snapshot | Put | Gone | Stale


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of :meth:`Registry.inspect`."""

    url: str
    """The registry, without credentials."""
    state: str
    """``connected`` or ``stale``."""
    since: float
    """Seconds since the state was entered."""
    writable: bool
    """Whether this process could advertise."""
    server: str | None = None
    """The server or folder that answers, ``10.0.0.1:2181``; None if none does."""
    version: str | None = None
    """Version of the server, where there is one."""
    session_timeout: float | None = None
    """Seconds after which a silent owner is taken for dead; None where death is seen at once."""
    problem: str | None = None
    """What is wrong and what to do about it."""
    details: dict[str, str] = field(default_factory=dict)
    """Anything else worth showing, by name."""


class OwnRecords(Collection[str]):
    """The names that the records advertised over one registry have or had: the latest ones.

    A server recognizes by them the requests for its own records.
    """

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._callbacks: dict[object, Callable[[str], None]] = {}

    def add(self, name: str) -> None:
        """Note that a record is registered as *name*; for the backend, once for each name."""
        self._names.pop(name, None)
        self._names[name] = None
        if len(self._names) > _REMEMBERED_NAMES:
            del self._names[next(iter(self._names))]
        for callback in tuple(self._callbacks.values()):
            callback(name)

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], object]:
        """Call *callback* with each name that is added.

        Returns:
            A function that ends the subscription; may be called twice.
        """
        token = object()
        self._callbacks[token] = callback
        return partial(self._callbacks.pop, token, None)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Watch(Protocol):
    """The events of one watcher; ends (``StopAsyncIteration``) when it or its registry is closed."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Event: ...

    async def aclose(self) -> None:
        """Stop watching; may be called twice."""


class Advertisement(Protocol):
    """One record of this process, kept alive until withdrawn."""

    @property
    def name(self) -> str | None:
        """The current name of the record, None while not registered; changes after a lost session."""

    def update(self, data: bytes) -> None:
        """Replace the record in place: same name, no gap. The last call wins, at most one is pending.

        Raises:
            RegistryDeniedError: *data* is over RECORD_LIMIT; the record stays as it was.
            RegistryClosedError: it was withdrawn, or its registry closed.
        """

    async def registered(self) -> str:
        """Wait until the record, with the data given last, is in the registry, and return its name.

        Waits as long as the registry is out of reach: give it a time limit of your own.

        Raises:
            RegistryDeniedError: access, size or path.
            RegistryClosedError: withdrawn or closed meanwhile.
        """

    async def withdraw(self) -> None:
        """Remove the record for good; may be called twice."""


@runtime_checkable
class Secrets(Protocol):
    """Small shared values under absolute names (``/asab/auth/key``), which outlive who made them."""

    async def obtain(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return the value; if there is none, make one with *make* and keep it.

        All callers, in all processes, get the same value, although *make* may be called by several of them.

        Raises:
            RegistryDeniedError: access, size or name.
        """

    def follow(self, name: str) -> AsyncIterator[bytes]:
        """Yield the value as soon as there is one, then every new one, until the registry is closed."""


@runtime_checkable
class Removal(Protocol):
    """What a registry can do that keeps records of dead processes for a while."""

    async def remove_record(self, name: str) -> None:
        """Remove the record *name* of another process, which has certainly ended; may be called twice.

        Raises:
            RegistryError: access, or out of reach.
            RegistryClosedError: after aclose().
        """


class Registry(Protocol):
    """A folder of records, each owned by a live process. The contract is the module's docstring."""

    @property
    def url(self) -> str:
        """The registry's URL, without credentials."""

    @property
    def secrets(self) -> Secrets | None:
        """Shared secrets, or None where the backend can't keep any."""

    @property
    def open_to_all(self) -> bool:
        """Whether everyone who reaches the registry may write to it: nothing in it can be trusted then."""

    @property
    def own_records(self) -> OwnRecords:
        """The names that the records advertised here have or had."""

    def advertise(self, name: str, data: bytes) -> Advertisement:
        """Begin to advertise *data* under a unique name that the backend makes from *name*; returns at once.

        Raises:
            RegistryDeniedError: *name* or the size of *data* is impossible.
            RegistryClosedError: after aclose().
        """

    def watch(self) -> Watch:
        """Begin to watch: a Snapshot (or Stale) first, then the changes."""

    async def inspect(self) -> Health:
        """Return the state of the registry, within a second."""

    async def aclose(self) -> None:
        """Withdraw, end every watch and close everything, within a second."""


def check_name(name: str) -> None:
    """Refuse a name that isn't possible in every backend.

    Raises:
        RegistryDeniedError: it is empty, too long or has other characters than ``[A-Za-z0-9_.-]``.
    """
    if not _NAME.fullmatch(name):
        raise RegistryDeniedError(
            f"{name!r} can't name a record: use up to 100 characters of A-Z, a-z, 0-9, '_', '.' and '-', "
            "beginning with a letter, digit or underscore."
        )


def check_size(data: bytes) -> None:
    """Refuse data that readers would skip.

    Raises:
        RegistryDeniedError: over RECORD_LIMIT.
    """
    if len(data) > RECORD_LIMIT:
        raise RegistryDeniedError(
            f"The record has {len(data)} bytes, at most {RECORD_LIMIT} are kept: "
            "advertise fewer ids or shorter extra fields."
        )


def open_registry(url: str) -> Registry:
    """Return the registry a URL names: ``embedded:``, ``memory:name``, ``zookeeper://zk-1:2181,zk-2:2181/asab``.

    Nothing is connected yet and no event loop is needed.

    Raises:
        ConfigurationError: the URL has no scheme, no backend has that scheme, or the backend can't read the
            rest.
        MissingExtraError: the backend needs a package that isn't installed.
    """
    scheme, colon, _ = url.partition(":")
    return _find_backend(scheme if colon else "")(url)


@cache
def _find_backend(scheme: str) -> Callable[[str], Registry]:
    """Return what opens the registries of a scheme, empty if a URL has none; raises as open_registry().

    What is found is kept: the search reads the metadata of all installed packages, which takes milliseconds,
    and importlib keeps what it has read, again for each change of their folders.
    """
    # Loads a mail parser, among others, which a program that opens no registry doesn't need.
    from importlib.metadata import entry_points  # noqa: PLC0415 - see above

    backends = {point.name: point for point in entry_points(group="peerage.registries")}
    if not backends:
        raise ConfigurationError(
            "No registry backend is installed: peerage's files are there without its package metadata. "
            "Install it with pip install."
        )
    if not scheme or scheme not in backends:
        # Only the scheme is quoted: the rest may hold credentials.
        what = f"No registry backend is called {scheme!r}" if scheme else "A registry is given as a URL"
        raise ConfigurationError(
            f"{what}; known are {', '.join(f'{name}:' for name in sorted(backends))}. "
            "For one machine write 'embedded:'."
        )
    try:
        backend: Callable[[str], Registry] = backends[scheme].load()
    except MissingExtraError:
        raise
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The registry {scheme}: needs the package {error.name!r}: "
            # One extra for a scheme and its variant with TLS.
            f"pip install 'peerage[{scheme.partition('+')[0]}]'",
            name=error.name,
        ) from error
    return backend
