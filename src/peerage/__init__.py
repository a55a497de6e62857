"""Service discovery for asyncio: advertise once, call every peer by name.

All public names but the errors are loaded on first use, so that ``import peerage`` costs next to nothing and
a program that only advertises never loads an HTTP client.
"""

from typing import TYPE_CHECKING, Final

from peerage import errors
from peerage.errors import *  # noqa: F403 - errors.py lists them
from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.balancing import CallCounts, Ejection
    from peerage.calling.options import CallOptions, call_options
    from peerage.calling.trace import AttemptTrace, CallTrace, trace_calls
    from peerage.changes import Changed, Changes, Joined, Left, PeerEvent
    from peerage.client import DiscoveryResolver, UnreachableError
    from peerage.deadlines import deadline
    from peerage.discovery import Discovery
    from peerage.records.advert import Advert
    from peerage.records.identity import Identity, read_identity
    from peerage.records.instance import Endpoint, Instance
    from peerage.registration import Registration
    from peerage.registry import Health, Registry, open_registry

__version__ = "0.1.0"

_HOMES: Final = {
    "balancing": ("CallCounts", "Ejection"),
    "calling.options": ("CallOptions", "call_options"),
    "calling.trace": ("AttemptTrace", "CallTrace", "trace_calls"),
    "changes": ("Changed", "Changes", "Joined", "Left", "PeerEvent"),
    "client": ("DiscoveryResolver", "UnreachableError"),
    "deadlines": ("deadline",),
    "discovery": ("Discovery",),
    "records.advert": ("Advert",),
    "records.identity": ("Identity", "read_identity"),
    "records.instance": ("Endpoint", "Instance"),
    "registration": ("Registration",),
    "registry": ("Health", "Registry", "open_registry"),
}

__all__ = [
    "Advert",
    "AttemptTrace",
    "CallCounts",
    "CallOptions",
    "CallTrace",
    "Changed",
    "Changes",
    "Discovery",
    "DiscoveryResolver",
    "Ejection",
    "Endpoint",
    "Health",
    "Identity",
    "Instance",
    "Joined",
    "Left",
    "PeerEvent",
    "Registration",
    "Registry",
    "UnreachableError",
    "call_options",
    "deadline",
    "open_registry",
    "read_identity",
    "trace_calls",
]
__all__ += errors.__all__

if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(
        __name__, globals(), {name: home for home, names in _HOMES.items() for name in names}
    )


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
