"""What a service advertises about itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypedDict, Unpack

from peerage.errors import ConfigurationError
from peerage.records.identity import Identity, read_identity
from peerage.records.names import BUILTIN_KEYS

#: Custom ids: one value or several of each key.
Ids = Mapping[str, "str | int | Iterable[str | int]"]

#: A socket that listens: its address and port as bound, and its scheme if it isn't that of the record.
WebAddress = tuple[str, int] | tuple[str, int, str]


class AdvertFields(TypedDict, total=False):
    """The fields of an :class:`Advert` as keyword arguments."""

    identity: Identity | None
    port: int | None
    web: Sequence[WebAddress] | None
    ids: Ids | None
    scheme: str
    appclass: str | None
    weight: float | None
    extra: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advert:
    """What a service advertises; ``advertise()`` and ``update()`` take one, or its fields as keywords.

    It keeps copies: what the caller does with its own dictionaries and lists later has no effect.

    Raises:
        ConfigurationError: both *port* and *web* are given.
    """

    identity: Identity | None = None
    """Who the process is; None: what its Discovery was given, else what the environment says."""
    port: int | None = None
    """The port on which it listens, on every interface."""
    web: Sequence[WebAddress] | None = None
    """Instead of *port*: ``(address, port)`` or ``(address, port, scheme)`` of each socket, as bound.

    Without *port* and *web* the service is listed but can't be called.
    """
    ids: Ids | None = None
    """Custom ids, ``{"shard": [1, 2]}``, by which it is called as ``1.shard.asab``."""
    scheme: str = "http"
    """``http`` or ``https``: what is spoken where *web* doesn't say it."""
    appclass: str | None = None
    """Class name of the application; the record's name begins with it. None: the identity's."""
    weight: float | None = None
    """Its share of the requests relative to its peers'; 1 if None."""
    extra: Mapping[str, Any] | None = None
    """Further fields of the record, JSON values."""
    state: str | None = None
    """``draining`` when it is about to stop; :meth:`peerage.Registration.drain` sets it."""

    def __post_init__(self) -> None:
        if self.port is not None and self.web is not None:
            raise ConfigurationError("Give either 'port' or 'web', not both.")
        if self.ids is not None:
            object.__setattr__(self, "ids", {key: _copied(values) for key, values in self.ids.items()})
        if self.extra is not None:
            object.__setattr__(self, "extra", dict(self.extra))
        object.__setattr__(self, "web", _copied(self.web))

    def changed(self, **fields: Unpack[AdvertFields]) -> Self:
        """Return this with other *fields*; what isn't given stays. *port* replaces *web* and vice versa.

        Raises:
            TypeError: there is no such field.
            ConfigurationError: both *port* and *web* are given.
        """
        for name in sorted(fields.keys() - AdvertFields.__annotations__.keys()):
            advice = f"known are {', '.join(AdvertFields.__annotations__)}"
            if name in BUILTIN_KEYS:
                advice = f"write Discovery({name}=…), or set {name.upper()} in the environment"
            raise TypeError(f"{name}=… is no field of an advert: {advice}.")
        if "port" in fields:
            fields.setdefault("web", None)
        elif "web" in fields:
            fields["port"] = None
        return replace(self, **fields)

    def who(self) -> Identity:
        """Return the identity to advertise: as given, else as the environment says now, with *appclass*."""
        identity = self.identity or read_identity()
        return identity if self.appclass is None else replace(identity, appclass=self.appclass)


def _copied(values: Any) -> Any:
    """Return a list of several values; whether they are valid is checked when the record is built."""
    several = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
    return list(values) if several else values
