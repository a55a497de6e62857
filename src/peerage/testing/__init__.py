"""For tests of backends and services: the contract of a registry as tests, and helpers.

Needs the extra ``peerage[testing]``; see docs/write-a-backend.md. Two names are loaded on first use, because
the process that a :class:`Participant` starts needs no pytest.
"""

from typing import TYPE_CHECKING

from peerage.lazy import loader
from peerage.testing.harness import CAPABILITIES, Harness, requires
from peerage.testing.view import View
from peerage.testing.waiting import begun, eventually

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

if TYPE_CHECKING:
    from peerage.testing.conformance import RegistryConformance
    from peerage.testing.participant import Participant
else:  # for a type checker every misspelled name would be valid
    _HOME_OF = {"Participant": "participant", "RegistryConformance": "conformance"}
    __getattr__ = loader(__name__, globals(), _HOME_OF)
