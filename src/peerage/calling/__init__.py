"""The decisions about a call; pure and synchronous, and free of any HTTP library.

:mod:`peerage.calling.call` is the state machine, and :mod:`~peerage.calling.search` makes its attempts after
the first one. They use :mod:`~peerage.calling.choosing` for the choice of an instance,
:mod:`~peerage.calling.candidates` for its endpoints, :mod:`~peerage.calling.resolution` for the addresses of
a host, :mod:`~peerage.calling.retry` for whether a request may be sent again, and
:mod:`~peerage.calling.messages` for the texts of errors.
"""

from peerage.calling.addresses import Addresses, Host
from peerage.calling.call import Call, CallContext
from peerage.calling.options import CallOptions
from peerage.calling.resolution import Lookups, Resolution
from peerage.calling.retry import Ending, Repeatable
from peerage.calling.steps import Attempt, GiveUp, Pause, Relieve, Step, TlsProbe, WaitForInstance

__all__ = [
    "Addresses",
    "Attempt",
    "Call",
    "CallContext",
    "CallOptions",
    "Ending",
    "GiveUp",
    "Host",
    "Lookups",
    "Pause",
    "Relieve",
    "Repeatable",
    "Resolution",
    "Step",
    "TlsProbe",
    "WaitForInstance",
]
