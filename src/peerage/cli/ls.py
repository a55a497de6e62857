"""``peerage ls``: the instances."""

import sys
from datetime import UTC, datetime

from peerage.cli.criteria import matching, no_match, parse_criteria
from peerage.cli.run import Exit, complain, opened
from peerage.cli.table import on_terminal, plain_table, rich_table
from peerage.cli.view import COLUMNS, Listing, cells, entries, listing, problem_lines
from peerage.directory import Criteria, Directory, fold_criteria
from peerage.discovery import Discovery

__all__ = ["empty", "list_once", "listed"]


#: Explains the state of a superseded record.
SUPERSEDED = (
    "superseded: a newer record has the same instance id, host and port, and only that one is called. The "
    "process restarted, or several run with one INSTANCE_ID: give each its own."
)


async def list_once(registry: str | None, words: list[str], *, timeout: float, as_array: bool) -> int:  # noqa: ASYNC109 - an option of the command, handed on
    """Show the instances and what is wrong with them.

    Args:
        registry: URL of the registry.
        words: criteria ``key=value`` that all must match; none shows everything.
        timeout: seconds within which it must answer.
        as_array: whether to write one JSON array.
    """
    criteria = fold_criteria(parse_criteria(words))
    async with opened(registry, timeout) as discovery:
        found = listed(discovery.directory, criteria)
        if as_array:
            _write_json(found)
        elif found.instances or found.problems:
            _write_table(found)
        else:
            complain(empty(discovery, criteria))
    return Exit.NOT_DISCOVERED if criteria and not found.instances else Exit.OK


def listed(directory: Directory, criteria: Criteria) -> Listing:
    """Return what *directory* holds now; with criteria, the instances that match and no problems."""
    found = listing(directory)
    if not criteria:
        return found
    return Listing(matching(found.instances, criteria), found.hidden, {})


def empty(discovery: Discovery, criteria: Criteria) -> str:
    """Return the message that there is nothing to show, and what to do about it."""
    if criteria:
        return no_match(discovery.directory, criteria, discovery.registry.url)
    return (
        f"No instance is advertised in {discovery.registry.url}. Start a service that advertises itself, "
        "name another registry with --registry, or see 'peerage demo'."
    )


def _write_json(found: Listing) -> None:
    from peerage.cli.jsontext import as_json  # noqa: PLC0415 - only here

    # One record a line: it can be read by eye and searched, and a large cluster isn't one huge text.
    lines = (f"  {as_json(entry)}" for entry in entries(found))
    sys.stdout.write("[\n" + ",\n".join(lines) + "\n]\n")


def _write_table(found: Listing) -> None:
    now = datetime.now(UTC)
    rows = [cells(each, now, hidden=each.name in found.hidden) for each in found.instances]
    if not on_terminal():
        _write_lines(plain_table(COLUMNS, rows) if rows else [])
    elif rows:
        from rich.console import Console  # noqa: PLC0415 - without a terminal it isn't needed

        Console().print(rich_table(COLUMNS, rows))
    if any(each.name in found.hidden for each in found.instances):
        _write_lines(["", SUPERSEDED])
    if found.problems:
        _write_lines(["", "Can't be used:", *(f"  {line}" for line in problem_lines(found.problems))])


def _write_lines(lines: list[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
