"""The checks of a token's claims: pure functions over JSON values."""

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from peerage.auth.reasons import Reason
from peerage.errors import TokenRefusedError

__all__ = ["LEEWAY", "check_claims", "check_parties"]

#: Seconds by which clocks may differ.
LEEWAY: Final = 60.0

#: Times beyond the year 9999 have no date.
_END_OF_TIME: Final = 253402300800

_TEXTS: Final = ("iss", "sub", "azp", "jti")


def check_claims(
    claims: Mapping[str, Any],
    now: float,
    *,
    leeway: float = LEEWAY,
) -> None:
    """Refuse claims that aren't valid now.

    ``exp`` and ``iat`` are required, ``nbf`` is honoured; none of them may be in the future, or ``exp`` in
    the past, by *leeway* or more. Claims that have a type must have it.

    Args:
        claims: a JSON object.
        now: seconds since the epoch.
        leeway: seconds.

    Raises:
        TokenRefusedError: with the reason.
    """
    expires = _time(claims, "exp", required=True)
    issued = _time(claims, "iat", required=True)
    begins = _time(claims, "nbf", required=False)
    for name in _TEXTS:
        if not isinstance(claims.get(name), str | None):
            raise _wrong(name, "a text")
    _audiences(claims)
    _check_resources(claims.get("resources"))
    if now >= expires + leeway:
        raise TokenRefusedError(Reason.EXPIRED, f"It expired {now - expires:.0f} s ago.")
    if now <= max(issued, begins) - leeway:
        what = "was issued" if issued >= begins else "begins to be valid"
        raise TokenRefusedError(
            Reason.NOT_YET_VALID, f"It {what} {max(issued, begins) - now:.0f} s from now: check the clocks."
        )


def check_parties(
    claims: Mapping[str, Any],
    *,
    issuers: Collection[str] | None = None,
    audiences: Collection[str] | None = None,
) -> None:
    """Refuse claims issued by somebody else, or for somebody else.

    Args:
        claims: as :func:`check_claims` has found them right.
        issuers: ``iss`` must be one of them; None: anybody's.
        audiences: ``aud`` must name one of them; None: anybody's.

    Raises:
        TokenRefusedError: with the reason.
    """
    if issuers is not None and claims.get("iss") not in issuers:
        raise TokenRefusedError(Reason.ISSUER, "Its issuer (iss) isn't the one expected.")
    if audiences is not None and not _audiences(claims) & {*audiences}:
        raise TokenRefusedError(Reason.AUDIENCE, "Its audience (aud) is somebody else.")


def _time(claims: Mapping[str, Any], name: str, *, required: bool) -> float:
    value = claims.get(name)
    if value is None and not required:
        return -math.inf
    if value is None:
        raise TokenRefusedError(Reason.CLAIMS, f"It has no {name}.")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _END_OF_TIME:
        raise _wrong(name, "a number of seconds since 1970")
    return float(value)


def _audiences(claims: Mapping[str, Any]) -> set[str]:
    value = claims.get("aud")
    values = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise _wrong("aud", "a text or a list of texts")
    return {*values}


def _check_resources(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        raise _wrong("resources", "an object")
    for resources in value.values():
        if not isinstance(resources, list) or not all(isinstance(each, str) for each in resources):
            raise _wrong("resources", "an object of lists of texts")


def _wrong(name: str, what: str) -> TokenRefusedError:
    return TokenRefusedError(Reason.CLAIMS, f"Its {name} isn't {what}.")
