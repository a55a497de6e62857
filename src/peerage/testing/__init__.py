"""For whoever writes a backend, or tests a service: the contract of a registry as tests, and their parts.

Needs the extra ``peerage[testing]``; see docs/write-a-backend.md. The names are loaded on first use: a
process that only takes part, :class:`Participant`'s other side, needs no pytest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from peerage.testing.capabilities import CAPABILITIES, requires
    from peerage.testing.conformance import RegistryConformance
    from peerage.testing.harness import Harness
    from peerage.testing.participant import Participant
    from peerage.testing.view import View, eventually

_HOME_OF: Final = {
    "CAPABILITIES": "capabilities",
    "Harness": "harness",
    "Participant": "participant",
    "RegistryConformance": "conformance",
    "View": "view",
    "eventually": "view",
    "requires": "capabilities",
}

__all__ = [
    "CAPABILITIES",
    "Harness",
    "Participant",
    "RegistryConformance",
    "View",
    "eventually",
    "requires",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'peerage.testing' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"peerage.testing.{home}"), name)
    return value
