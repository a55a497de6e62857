"""Text of records on its way to a terminal.

Whoever may advertise may write anything into a record: escape sequences that retitle a window, line breaks
that forge a line, marks that reverse the reading order. Nothing of that reaches a terminal as it is.
"""

from datetime import UTC, datetime

__all__ = ["age", "clean", "multiline", "shorten"]

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def clean(text: str) -> str:
    r"""Return *text* with everything that isn't printable spelled out.

    >>> clean("pricing\x1b[31m")
    'pricing\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spelled(char) for char in text)


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def multiline(text: str) -> str:
    """Return *text* cleaned, its line breaks kept."""
    return "\n".join(clean(line) for line in text.splitlines())


def shorten(text: str, limit: int = 120) -> str:
    """Return *text* cleaned and cut: an id of 60 kB would push the others off the screen."""
    # Cut first: cleaning makes it longer, never shorter.
    text = clean(text[: limit + 1])
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def age(launch_time: object, now: datetime) -> str:
    """Return how long ago *launch_time*, a field of a record, was: ``3 h``; empty if it is no time.

    >>> age("2023-12-01T10:52:29.656397Z", datetime(2023, 12, 1, 14, tzinfo=UTC))
    '3 h'
    """
    try:
        launched = datetime.fromisoformat(str(launch_time))
    except ValueError:
        return ""
    if launched.tzinfo is None:
        launched = launched.replace(tzinfo=UTC)
    # Clocks of two machines differ: a service that starts in a moment has just started.
    seconds = max(0, int((now - launched).total_seconds()))
    for length, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
