"""Conversion of values in configuration files."""

from configparser import ConfigParser
from string import ascii_letters
from typing import Final
from urllib.parse import urlsplit

_DAY: Final = 86400.0

_UNITS: Final = {
    "": 1.0,
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "M": 31 * _DAY,
    **dict.fromkeys("dD", _DAY),
    **dict.fromkeys("wW", 7 * _DAY),
    **dict.fromkeys("yY", 365 * _DAY),
}


def convert_to_seconds(value: str | float) -> float:
    """Return a duration in seconds.

    >>> convert_to_seconds("1.5h"), convert_to_seconds("200 ms"), convert_to_seconds("20")
    (5400.0, 0.2, 20.0)

    Raises:
        ValueError: it isn't a duration.
    """
    if not isinstance(value, str):
        return float(value)
    text = value.replace(" ", "")
    number = text.rstrip(ascii_letters)
    try:
        return float(number) * _UNITS[text[len(number) :]]
    except (ValueError, KeyError):
        raise ValueError(
            f"{value!r} isn't a duration: write a number and one of the units y, M (months), w, d, h, "
            "m (minutes), s, ms; without a unit it means seconds."
        ) from None


def string_to_boolean(value: str | bool) -> bool:  # noqa: FBT001 - the value itself
    """Return what ``yes``, ``true``, ``on``, ``1`` and their opposites mean, in any case.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, bool):
        return value
    meant = ConfigParser.BOOLEAN_STATES.get(value.lower())
    if meant is None:
        raise ValueError(f"{value!r} is neither yes nor no: write yes, true, on, 1 or no, false, off, 0.")
    return meant


def validate_url(input_url: str, scheme: str | tuple[str, ...] | None) -> str:
    """Return *input_url* without surrounding space and without a slash at the end of its path.

    Args:
        input_url: the URL.
        scheme: the allowed scheme or schemes; None for any.

    Raises:
        ValueError: its scheme isn't allowed, or it has none.
    """
    url = urlsplit(input_url.strip())
    url = url._replace(path=url.path.removesuffix("/"))
    allowed = (scheme,) if isinstance(scheme, str) else scheme
    if allowed is not None and url.scheme not in allowed:
        has = f"has the scheme {url.scheme!r}" if url.scheme else "has no scheme"
        raise ValueError(f"{url.geturl()!r} {has}: it must begin with {' or '.join(allowed)}://")
    return url.geturl()
