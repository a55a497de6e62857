"""The key of ids that a misspelled one may be meant for."""

import logging
from collections.abc import Iterable
from typing import Final

from peerage.directory.criteria import Criteria
from peerage.directory.directory import Directory
from peerage.records.instance import Instance
from peerage.records.names import BUILTIN_KEYS

log = logging.getLogger(__name__)

#: Unknown keys that are checked, at most.
_CHECKED: Final = 256

#: Similarity from which on one key is taken for a misspelling of another, as difflib measures it.
_SIMILAR: Final = 0.7


def nearest_key(key: str, instances: Iterable[Instance]) -> str | None:
    """Return the key that *key*, folded, is probably a misspelling of.

    The keys of *instances* and the built-in ones are known. None if *key* is one of them, or similar to none.
    """
    known = {*BUILTIN_KEYS, *(name for instance in instances for name, _ in instance.ids)}
    if key in known:
        return None
    from difflib import get_close_matches  # noqa: PLC0415 - for messages only

    return next(iter(get_close_matches(key, sorted(known), 1, _SIMILAR)), None)


class KeySpelling:
    """Logs, once for each key, that criteria which match no instance may have a misspelled key."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._checked = set(BUILTIN_KEYS)

    def check(self, criteria: Criteria) -> None:
        """Log what is probably misspelled in *criteria*, which match no instance."""
        for key, _ in criteria:
            if key not in self._checked and len(self._checked) < _CHECKED:
                self._checked.add(key)
                near = nearest_key(key, self._directory.find())
                if near is not None:
                    log.warning("No instance has an id with the key %a. Did you mean %a?", key, near)
