"""When an instance that doesn't answer a request may have stalled: it is stopped or stuck.

No time limit shows that, because a handler may rightly take minutes. Instead, the instances of a service are
compared with each other. One may have stalled if a request has waited there for a second and the instance has
answered nothing meanwhile, although others of the service have. If all are slow, none has stalled.

A process that makes one call at a time has no answers of others to compare with. There a request has to wait
for three seconds, while another instance of the service has no request of this process under way.

That is a reason for a probe, which any answer passes, and not yet for avoiding the instance. The rule is
peerage's own, since Envoy, Linkerd and gRPC leave it to time limits. Phi accrual failure detectors
(Hayashibara et al., 2004) also compare with what is usual, but need a heartbeat from each instance.
"""

from typing import Final

#: Seconds after which an unanswered request may mean that its instance has stalled.
STALL_SECONDS: Final = 1.0

#: Likewise if no other instance was asked meanwhile that could have answered.
ALONE_SECONDS: Final = 3.0

#: Seconds until an instance that passed its probe is probed for this reason again.
CLEARED_SECONDS: Final = 5.0


def may_have_stalled(
    started: float, answered_at: float, others_at: float, now: float, *, others_idle: bool
) -> bool:
    """Tell whether the instance of an unanswered request may have stalled; all times are in seconds.

    Args:
        started: when the request began.
        answered_at: when the instance last answered any request.
        others_at: when any instance of the service last answered one.
        now: the time.
        others_idle: whether an instance of the service has no request under way.
    """
    if answered_at >= started:
        return False
    if started < others_at:
        return now - started >= STALL_SECONDS
    return others_idle and now - started >= ALONE_SECONDS
