"""The criteria ``key=value`` of ``peerage ls`` and ``peerage locate``."""

from collections.abc import Iterable

from peerage.cli.run import CommandError, Exit
from peerage.directory import Criteria, Directory
from peerage.directory.suggest import nearest_key
from peerage.records.instance import Instance

__all__ = ["matching", "no_match", "parse_criteria"]


def parse_criteria(words: Iterable[str]) -> dict[str, str]:
    """Return the criteria that ``key=value`` words spell.

    Raises:
        CommandError: a word isn't ``key=value``, or a key is given twice.
    """
    criteria: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if not key or not value:
            raise CommandError(
                f"{word!r} is not a criterion: write key=value, e.g. service_id=orders", Exit.USAGE
            )
        if key in criteria:
            raise CommandError(
                f"{key!r} is given twice, and all criteria must match: give it once.", Exit.USAGE
            )
        criteria[key] = value
    return criteria


def matching(instances: Iterable[Instance], criteria: Criteria) -> list[Instance]:
    """Return those of *instances* that match all criteria."""
    wanted = set(criteria)
    return [instance for instance in instances if wanted <= set(instance.ids)]


def no_match(directory: Directory, criteria: Criteria, url: str) -> str:
    """Return the message that no instance in the registry *url* matches *criteria*.

    It suggests another key for each that no instance has.
    """
    text = " ".join(f"{key}={value}" for key, value in criteria)
    keys = (nearest_key(key, directory) for key, _ in criteria)
    hints = [f"Did you mean {near}=…?" for near in keys if near is not None]
    return " ".join([f"No instance in {url} matches {text}.", *hints, "See 'peerage ls'."])
