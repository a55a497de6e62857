"""For tests of backends and services: the contract of a registry as tests, and helpers.

Needs the extra ``peerage[testing]``; see docs/write-a-backend.md. The names are loaded on first use, because
the process that a :class:`Participant` starts needs no pytest.
"""

from typing import TYPE_CHECKING, Final

from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.testing.capabilities import CAPABILITIES, requires
    from peerage.testing.conformance import RegistryConformance
    from peerage.testing.harness import Harness
    from peerage.testing.participant import Participant
    from peerage.testing.view import View
    from peerage.testing.waiting import begun, eventually

_HOME_OF: Final = {
    "CAPABILITIES": "capabilities",
    "Harness": "harness",
    "Participant": "participant",
    "RegistryConformance": "conformance",
    "View": "view",
    "begun": "waiting",
    "eventually": "waiting",
    "requires": "capabilities",
}

__all__ = [
    "CAPABILITIES",
    "Harness",
    "Participant",
    "RegistryConformance",
    "View",
    "begun",
    "eventually",
    "requires",
]


if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), _HOME_OF)
