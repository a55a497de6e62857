"""What ZooKeeper takes as a path."""

import re
from typing import Final

__all__ = ["flaw"]

#: What ZooKeeper takes in no path; it looks at UTF-16, so everything beyond 16 bits is surrogates to it.
_FORBIDDEN = re.compile("[\0-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]")

#: The servers' own node at the root.
_RESERVED: Final = "zookeeper"


def flaw(component: str, number: int) -> str | None:
    """Say what is wrong with the component of this number, from 1, and what to do; None if nothing is."""
    if not component:
        return "is empty: write one '/' between two components"
    if component in {".", ".."}:
        return "is '.' or '..': write the path without"
    if _FORBIDDEN.search(component):
        return "has a control character or another that ZooKeeper refuses: write it without"
    if number == 1 and component == _RESERVED:
        return "is 'zookeeper', which the servers keep for themselves: choose another, as /asab"
    return None
