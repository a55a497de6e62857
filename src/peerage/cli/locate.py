"""``peerage locate``: the URLs of who matches."""

import sys

from peerage.cli.jsontext import as_json
from peerage.cli.run import CommandError, Exit
from peerage.cli.text import clean
from peerage.discovery import Discovery

__all__ = ["locate", "parse_criteria"]


def parse_criteria(words: list[str]) -> dict[str, str]:
    """Return the criteria that ``key=value`` words spell.

    Raises:
        CommandError: one isn't ``key=value``, or a key is given twice.
    """
    criteria: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if not key or not value:
            raise CommandError(
                f"{word!r} is no criterion: write key=value, e.g. service_id=orders", Exit.USAGE
            )
        if key in criteria:
            raise CommandError(
                f"{key!r} is given twice, and all criteria must match: give it once.", Exit.USAGE
            )
        criteria[key] = value
    return criteria


async def locate(registry: str | None, words: list[str], *, timeout: float, as_array: bool) -> int:  # noqa: ASYNC109 - an option of the command, handed on
    """Write the URLs of all instances that match all criteria.

    Args:
        registry: URL of the registry.
        words: the criteria, ``key=value``.
        timeout: seconds within which the registry must answer.
        as_array: whether to write one JSON array.
    """
    criteria = parse_criteria(words)
    async with Discovery(registry, ready_timeout=timeout) as discovery:
        urls = sorted(await discovery.locate(criteria))
        if as_array:
            sys.stdout.write(f"{as_json(urls)}\n")
        else:
            sys.stdout.writelines(f"{clean(url)}\n" for url in urls)
        if not urls:
            raise CommandError(
                f"Nobody callable in {discovery.registry.url} matches {' '.join(words)}: see 'peerage ls'."
            )
    return Exit.OK
