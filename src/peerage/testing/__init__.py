"""For tests of services and of backends: the pytest plugin, the contract of a registry as tests, and helpers.

Needs the extra ``peerage[testing]``; see docs/testing.md and docs/write-a-backend.md. Everything is loaded on
first use, because pytest loads the plugin in every project that has peerage.
"""

from typing import TYPE_CHECKING

from peerage.lazy import loader

_MODULE_OF = {
    "CAPABILITIES": "harness",
    "Harness": "harness",
    "IsolatedRegistry": "isolated",
    "Participant": "participant",
    "Peer": "peers",
    "Peers": "peers",
    "RegistryConformance": "conformance",
    "View": "view",
    "VirtualClock": "clock",
    "begun": "waiting",
    "eventually": "waiting",
    "lifespan": "asgi",
    "requires": "harness",
}

if TYPE_CHECKING:
    from peerage.testing.asgi import lifespan
    from peerage.testing.clock import VirtualClock
    from peerage.testing.conformance import RegistryConformance
    from peerage.testing.harness import CAPABILITIES, Harness, requires
    from peerage.testing.isolated import IsolatedRegistry
    from peerage.testing.participant import Participant
    from peerage.testing.peers import Peer, Peers
    from peerage.testing.view import View
    from peerage.testing.waiting import begun, eventually
else:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), _MODULE_OF)

__all__ = [
    "CAPABILITIES",
    "Harness",
    "IsolatedRegistry",
    "Participant",
    "Peer",
    "Peers",
    "RegistryConformance",
    "View",
    "VirtualClock",
    "begun",
    "eventually",
    "lifespan",
    "requires",
]
