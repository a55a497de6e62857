"""When an instance that doesn't answer a request may be stopped or stuck.

A time limit can't tell that: a handler may rightly take minutes. The instances of a service are compared with
each other instead. One may have stalled if a request has waited there for a second and nothing was answered
there meanwhile, although others of the service did answer. If all are slow, none is suspected.

That is a reason for a probe, which any answer passes, and not yet for avoiding the instance. The rule is
peerage's own, as Envoy, Linkerd and gRPC leave it to time limits. Phi accrual failure detectors (Hayashibara
et al., 2004) also judge by what would be usual, but need a heartbeat from each instance.
"""

from typing import Final

#: Seconds after which an unanswered request may mean that its instance has stalled.
STALL_SECONDS: Final = 1.0

#: Seconds until an instance that passed its probe is probed for this reason again.
CLEARED_SECONDS: Final = 5.0


def may_have_stalled(started: float, answered_at: float, others_at: float, now: float) -> bool:
    """Tell whether an instance may have stalled that hasn't answered a request; all times are in seconds.

    Args:
        started: when the request began.
        answered_at: when the instance last answered any request.
        others_at: when any instance of the service did.
        now: the time.
    """
    return answered_at < started < others_at and now - started >= STALL_SECONDS
