"""``peerage ls``: who is there."""

import sys
from datetime import UTC, datetime

from peerage.cli.run import Exit, complain
from peerage.cli.table import on_terminal, plain_table, rich_table
from peerage.cli.view import COLUMNS, Listing, cells, entries, listing, problem_lines
from peerage.discovery import Discovery

__all__ = ["list_once"]


async def list_once(registry: str | None, *, timeout: float, as_array: bool) -> int:  # noqa: ASYNC109 - an option of the command, handed on
    """Show all instances and what is wrong with them.

    Args:
        registry: URL of the registry.
        timeout: seconds within which it must answer.
        as_array: whether to write one JSON array.
    """
    async with Discovery(registry) as discovery:
        await discovery.ready(timeout)
        found = listing(discovery.directory)
        if as_array:
            _write_json(found)
        elif found.instances or found.problems:
            _write_table(found)
        else:
            complain(nobody(discovery))
    return Exit.OK


def nobody(discovery: Discovery) -> str:
    """Return what to do about an empty registry."""
    return (
        f"Nobody is advertised in {discovery.registry.url}. Start a service that advertises itself, "
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
    if found.problems:
        _write_lines(["", "Can't be used:", *(f"  {line}" for line in problem_lines(found.problems))])


def _write_lines(lines: list[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
