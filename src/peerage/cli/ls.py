"""``peerage ls``: the instances; ``peerage locate``: their URLs."""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from peerage.cli.run import CommandError, Exit, opened, report
from peerage.cli.table import COLUMNS, cells, plain_table, problem_lines, rich_table
from peerage.cli.text import clean, shorten
from peerage.directory import Criteria, Directory, read_criteria
from peerage.directory.listing import Row, listing
from peerage.directory.suggest import nearest_key
from peerage.discovery import Discovery
from peerage.errors import ConfigurationError
from peerage.records.instance import Instance
from peerage.records.text import as_json

#: What the state of a superseded record means.
SUPERSEDED = (
    "superseded: a newer record has the same instance id, host and port, and only that one is called. The "
    "process restarted, or several run with one INSTANCE_ID: give each its own."
)


#: What the state of a suspect means.
SUSPECTED = (
    "suspect: its record vanished together with others, or as the last one of a name. It may be alive, and "
    "is called if no other instance is. It is dropped when it refuses a connection, or after five minutes."
)


#: What the state of an unconfirmed record means.
UNCONFIRMED = (
    "unconfirmed: known from the disk cache only, because the registry is out of reach. It was there "
    "when the cache was saved."
)


async def list_once(registry: str | None, words: list[str], *, timeout: float, as_array: bool) -> int:  # noqa: ASYNC109 - an option of the command, handed on
    """Show the instances and what is wrong with them.

    Args:
        registry: URL of the registry.
        words: criteria ``key=value`` that all must match; none shows everything.
        timeout: seconds within which it must answer.
        as_array: whether to write one JSON array.
    """
    criteria = parse_criteria(words)
    async with opened(registry, timeout) as discovery:
        rows = listing(discovery.directory, criteria)
        if as_array:
            _write_json(rows)
        elif rows:
            _write_table(rows)
            _write_lines(["", *lines] if (lines := await _registry_lines(discovery)) else [])
        else:
            report(empty(discovery, criteria))
    return Exit.NOT_DISCOVERED if criteria and not rows else Exit.OK


async def locate(registry: str | None, words: list[str], *, timeout: float, as_array: bool) -> int:  # noqa: ASYNC109 - likewise
    """Write the URLs of all instances that match all criteria; the arguments are those of list_once()."""
    criteria = parse_criteria(words)
    async with opened(registry, timeout) as discovery:
        urls = sorted(set(discovery.directory.urls(criteria)))
        _write_lines([as_json(urls)] if as_array else map(clean, urls))
        if urls:
            return Exit.OK
        if found := len(matching(discovery.directory, criteria)):
            report(f"{found} matching, but none can be called: 'peerage ls {' '.join(words)}' says why.")
            return Exit.UNREACHABLE
        report(_no_match(discovery.directory, criteria, discovery.registry.url))
        return Exit.NOT_DISCOVERED


def empty(discovery: Discovery, criteria: Criteria) -> str:
    """Return the message that there is nothing to show, and what to do about it."""
    if criteria:
        return _no_match(discovery.directory, criteria, discovery.registry.url)
    return (
        f"No instance is advertised in {discovery.registry.url}. Start a service that advertises itself, "
        "name another registry with --registry, or see 'peerage demo'."
    )


async def _registry_lines(discovery: Discovery) -> list[str]:
    """Return how long what is known is out of date, and how long the records of dead processes stay."""
    if discovery.stale is not None:
        return [out_of_touch(discovery)]
    seconds = (await discovery.registry.inspect()).session_timeout
    if seconds is None:
        return []
    return [f"The record of a process that was killed stays for {seconds:g} s, the session time-out."]


def out_of_touch(discovery: Discovery) -> str:
    """Return for how long the registry has been out of reach, and why."""
    return f"Out of touch for {discovery.age:.0f} s: {shorten(discovery.stale or '', 400)}"


def _write_json(rows: list[Row]) -> None:
    # One record a line can be read and searched, and a large cluster isn't built as one text.
    lines = (f"  {as_json(row.entry())}" for row in rows)
    sys.stdout.write("[\n" + ",\n".join(lines) + "\n]\n")


def _write_table(rows: list[Row]) -> None:
    now = datetime.now(UTC)
    shown = [cells(row, now) for row in rows if row.instance is not None]
    if not sys.stdout.isatty():
        _write_lines(plain_table(COLUMNS, shown) if shown else [])
    elif shown:
        from rich.console import Console  # noqa: PLC0415 - without a terminal it isn't needed

        Console().print(rich_table(COLUMNS, shown))
    if any(row.superseded for row in rows):
        _write_lines(["", SUPERSEDED])
    if any(row.instance is not None and row.instance.suspect for row in rows):
        _write_lines(["", SUSPECTED])
    if any(row.unconfirmed for row in rows):
        _write_lines(["", UNCONFIRMED])
    if problems := [f"  {line}" for line in problem_lines(rows)]:
        _write_lines(["", "Can't be used:", *problems])


def _write_lines(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


# Criteria key=value


def parse_criteria(words: Iterable[str]) -> Criteria:
    """Return the criteria that ``key=value`` words spell.

    Raises:
        CommandError: a word isn't ``key=value``, or a key is given twice.
    """
    pairs = (word.partition("=") for word in words)
    try:
        return read_criteria((key, value) for key, _, value in pairs)
    except ConfigurationError as error:
        raise CommandError(str(error), Exit.USAGE) from None


def matching(instances: Iterable[Instance], criteria: Criteria) -> list[Instance]:
    """Return those of *instances* that match all criteria."""
    wanted = set(criteria)
    return [instance for instance in instances if wanted <= set(instance.ids)]


def _no_match(directory: Directory, criteria: Criteria, url: str) -> str:
    """Return the message that no instance in the registry *url* matches *criteria*.

    It suggests another key for each that no instance has.
    """
    text = " ".join(f"{key}={value}" for key, value in criteria)
    keys = (nearest_key(key, directory) for key, _ in criteria)
    hints = [f"Did you mean {near}=…?" for near in keys if near is not None]
    return " ".join([f"No instance in {url} matches {text}.", *hints, "See 'peerage ls'."])
