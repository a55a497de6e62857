"""Why tokens are refused, how often, and what the log says about it."""

import logging
import math
from collections import Counter
from collections.abc import Callable
from enum import StrEnum

from peerage.errors import PeerageError
from peerage.timing import monotonic

log = logging.getLogger(__name__)


class Reason(StrEnum):
    """Short codes, stable enough to be the label of a metric; for the operator, never for the caller."""

    MISSING = "missing"
    """The request carries no token."""
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    """It isn't a signed token in compact form, or its header can't be used."""
    ENCRYPTED = "encrypted"
    """It is a JWE."""
    ALGORITHM = "algorithm"
    """It names an algorithm that isn't accepted: ``none``, one with a shared secret, or an unknown one."""
    UNKNOWN_KEY = "unknown_key"
    """None of the known keys could have signed it."""
    SIGNATURE = "signature"
    """The key is known, but it didn't make this signature."""
    CLAIMS = "claims"
    """A claim is missing or has a wrong type, or the claims are not a JSON object."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    """``nbf`` or ``iat`` is in the future."""
    ISSUER = "issuer"
    """Its issuer isn't accepted, or isn't the owner of its key."""
    AUDIENCE = "audience"
    """It was made for another service."""
    EXCESSIVE = "excessive"
    """It claims more than its issuer may."""
    DENIED = "denied"
    """It is valid, but doesn't allow what was asked."""


class Refusals:
    """Counts refusals by reason; logs the first of each reason at once and then one line a minute."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.counts: Counter[str] = Counter()
        """How often each reason occurred."""
        self._clock = clock
        self._logged: dict[str, tuple[float, int]] = {}

    def note(self, reason: str, error: PeerageError) -> None:
        """Count one refusal; the log shows the message of *error* and nothing else of the request."""
        self.counts[reason] += 1
        now, count = self._clock(), self.counts[reason]
        last, logged = self._logged.get(reason, (-math.inf, 0))
        if now < last + 60:
            return
        self._logged[reason] = (now, count)
        more = count - logged - 1
        others = f" {more} more were refused for this reason since the last line about it." if more else ""
        log.warning("A request was refused (%s): %s%s", reason, error, others)
