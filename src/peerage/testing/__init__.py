"""For whoever writes a backend, or tests a service: the contract of a registry as tests, and what they are made of.

Needs the extra ``peerage[testing]``; see docs/write-a-backend.md.
"""

from peerage.testing.capabilities import CAPABILITIES, requires
from peerage.testing.conformance import RegistryConformance
from peerage.testing.harness import Harness
from peerage.testing.participant import Participant
from peerage.testing.view import View, eventually

__all__ = [
    "CAPABILITIES",
    "Harness",
    "Participant",
    "RegistryConformance",
    "View",
    "eventually",
    "requires",
]
