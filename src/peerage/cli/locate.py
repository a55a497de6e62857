"""``peerage locate``: the URLs of the instances that match."""

import sys

from peerage.cli.criteria import matching, no_match, parse_criteria
from peerage.cli.jsontext import as_json
from peerage.cli.run import CommandError, Exit, opened
from peerage.cli.text import clean
from peerage.directory import fold_criteria

__all__ = ["locate"]


async def locate(registry: str | None, words: list[str], *, timeout: float, as_array: bool) -> int:  # noqa: ASYNC109 - an option of the command, handed on
    """Write the URLs of all instances that match all criteria.

    Args:
        registry: URL of the registry.
        words: the criteria, ``key=value``.
        timeout: seconds within which the registry must answer.
        as_array: whether to write one JSON array.
    """
    criteria = fold_criteria(parse_criteria(words))
    async with opened(registry, timeout) as discovery:
        urls = sorted(discovery.directory.urls(criteria))
        if as_array:
            sys.stdout.write(f"{as_json(urls)}\n")
        else:
            sys.stdout.writelines(f"{clean(url)}\n" for url in urls)
        if not urls:
            if found := len(matching(discovery.directory, criteria)):
                message = (
                    f"{found} matching, but none can be called: 'peerage ls {' '.join(words)}' says why."
                )
                raise CommandError(message, Exit.UNREACHABLE)
            message = no_match(discovery.directory, criteria, discovery.registry.url)
            raise CommandError(message, Exit.NOT_DISCOVERED)
    return Exit.OK
