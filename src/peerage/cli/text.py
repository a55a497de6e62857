"""Text of records for a terminal.

A record may contain anything: escape sequences that set the title of a window, line breaks that forge a line,
marks that reverse the reading order. For a terminal, all of it is spelled out.
"""

from datetime import UTC, datetime


def clean(text: str) -> str:
    r"""Return *text* with all characters that aren't printable spelled out.

    >>> clean("pricing\x1b[31m")
    'pricing\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def multiline(text: str) -> str:
    """Return *text* cleaned, its line breaks kept."""
    return "\n".join(clean(line) for line in text.splitlines())


def shorten(text: str, limit: int = 120) -> str:
    """Return *text* cleaned and cut: an id of 60 kB would push the others off the screen."""
    # Cleaning makes it longer, never shorter, so it can be cut first.
    text = clean(text[: limit + 1])
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def age(launch_time: object, now: datetime) -> str:
    """Return how long ago *launch_time*, a field of a record, was: ``3 h``; empty if it isn't a time.

    >>> age("2023-12-01T10:52:29.656397Z", datetime(2023, 12, 1, 14, tzinfo=UTC))
    '3 h'
    """
    try:
        launched = datetime.fromisoformat(str(launch_time))
    except ValueError:
        return ""
    if launched.tzinfo is None:
        launched = launched.replace(tzinfo=UTC)
    # The clocks of two machines differ, so a launch time in the future counts as now.
    seconds = max(0, int((now - launched).total_seconds()))
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
