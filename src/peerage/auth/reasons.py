"""Why a token is refused: for the log and the counters, never for whoever sent it."""

from enum import StrEnum

__all__ = ["Reason"]


class Reason(StrEnum):
    """Short codes, stable enough to be the label of a metric."""

    MISSING = "missing"
    """There is no token."""
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    """It isn't a signed token in compact form, or its header can't be used."""
    ENCRYPTED = "encrypted"
    """It is a JWE."""
    ALGORITHM = "algorithm"
    """It names an algorithm that isn't accepted: ``none``, one with a shared secret, or an unknown one."""
    UNKNOWN_KEY = "unknown_key"
    """No key that is known could have signed it."""
    SIGNATURE = "signature"
    """The key is known, the signature isn't its."""
    CLAIMS = "claims"
    """A claim is missing or of a wrong type, or the claims are no JSON object."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    """``nbf`` or ``iat`` is in the future."""
    ISSUER = "issuer"
    """It was issued by somebody else than its key belongs to."""
    AUDIENCE = "audience"
    """It is meant for somebody else."""
    DENIED = "denied"
    """It is valid, and doesn't allow what was asked."""
