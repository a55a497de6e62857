"""What is decided about a request; pure and synchronous, and free of any HTTP library.

:mod:`peerage.calling.call` is the state machine, and :mod:`~peerage.calling.search` what it does after the
first attempt. They ask :mod:`~peerage.calling.candidates` where an instance may be reached,
:mod:`~peerage.calling.resolution` for the addresses of a host, :mod:`~peerage.calling.retry` whether a
request may be sent again, and :mod:`~peerage.calling.messages` how to say that it can't.
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
