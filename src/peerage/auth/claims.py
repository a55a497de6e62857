"""The checks of a token's claims: pure functions over JSON values."""

import math
import sys
from collections.abc import Collection, Mapping
from typing import Any, Final

from peerage.auth.refusals import Reason
from peerage.errors import TokenRefusedError

#: Seconds by which clocks may differ.
LEEWAY: Final = 60.0

#: Seconds since the epoch at which the year 9999 ends; datetime has no later dates.
_END_OF_TIME: Final = 253402300800

#: Levels of nesting that claims may have. Deeper ones can't be copied within Python's recursion limit.
_DEPTH: Final = 32


def check_claims(claims: Mapping[str, Any], now: float) -> None:
    """Refuse claims that aren't valid now (RFC 7519, section 4.1).

    ``exp`` and ``iat`` are required, ``nbf`` is optional. ``exp`` must not have passed at *now*, seconds
    since the epoch, nor ``iat`` or ``nbf`` be in the future, by LEEWAY or more. Registered claims must have
    their types.

    Raises:
        TokenRefusedError: they aren't valid; it has the reason.
    """
    expires = _time(claims, "exp", required=True)
    issued = _time(claims, "iat", required=True)
    begins = _time(claims, "nbf", required=False)
    for name in ("iss", "sub", "azp", "jti"):
        if not isinstance(claims.get(name), str | None):
            raise _wrong(name, "a string")
    _audiences(claims)
    resources = claims.get("resources")
    if resources is not None and not isinstance(resources, dict):
        raise _wrong("resources", "an object")
    if resources and not all(map(_are_strings, resources.values())):
        raise _wrong("resources", "an object of lists of strings")
    if now >= expires + LEEWAY:
        raise TokenRefusedError(Reason.EXPIRED, f"It expired {now - expires:.0f} s ago.")
    if now <= max(issued, begins) - LEEWAY:
        what = "was issued" if issued >= begins else "begins to be valid"
        raise TokenRefusedError(
            Reason.NOT_YET_VALID, f"It {what} {max(issued, begins) - now:.0f} s from now: check the clocks."
        )


def check_parties(
    claims: Mapping[str, Any],
    issuers: Collection[str] | None = None,
    audiences: Collection[str] | None = None,
) -> None:
    """Raise TokenRefusedError unless ``iss`` is one of *issuers* and ``aud`` names one of *audiences*.

    None accepts any. The claims must have passed :func:`check_claims`.
    """
    if issuers is not None and claims.get("iss") not in issuers:
        raise TokenRefusedError(Reason.ISSUER, "Its issuer (iss) isn't accepted here.")
    if audiences is not None and not _audiences(claims) & {*audiences}:
        raise TokenRefusedError(Reason.AUDIENCE, "Its audience (aud) is another service.")


def memory_of(claims: Mapping[str, Any]) -> int:
    """Return about how many bytes *claims* take in memory; TokenRefusedError if nested too deeply."""
    total = 0
    level: list[Any] = [claims]
    for _ in range(_DEPTH):
        total += sum(map(sys.getsizeof, level))
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list):
                below += value
        if not below:
            return total
        level = below
    raise TokenRefusedError(Reason.CLAIMS, f"Its claims are nested more than {_DEPTH} levels deep.")


def _time(claims: Mapping[str, Any], name: str, *, required: bool) -> float:
    value = claims.get(name)
    if value is None:
        if required:
            raise TokenRefusedError(Reason.CLAIMS, f"It has no {name}.")
        return -math.inf
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _END_OF_TIME:
        raise _wrong(name, "a number of seconds since 1970")
    return float(value)


def _audiences(claims: Mapping[str, Any]) -> set[str]:
    value = claims.get("aud")
    values = [value] if isinstance(value, str) else [] if value is None else value
    if not _are_strings(values):
        raise _wrong("aud", "a string or a list of strings")
    return {*values}


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _wrong(name: str, what: str) -> TokenRefusedError:
    return TokenRefusedError(Reason.CLAIMS, f"Its {name} isn't {what}.")
