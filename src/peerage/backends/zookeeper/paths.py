"""What ZooKeeper accepts as a path."""

import re
from typing import Final

__all__ = ["flaw"]

#: Characters that ZooKeeper refuses in a path. It sees UTF-16, so all beyond 16 bits are surrogates to it.
_FORBIDDEN = re.compile("[\0-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]")

#: The servers' own node at the root.
_RESERVED: Final = "zookeeper"


def flaw(component: str, number: int) -> str | None:
    """Return what is wrong with a component, and what to do, None if nothing is; the first is *number* 1."""
    if not component:
        return "is empty: write one '/' between two components"
    if component in {".", ".."}:
        return "is '.' or '..': write the path without"
    if _FORBIDDEN.search(component):
        return "has a control character or another that ZooKeeper refuses: write it without"
    if number == 1 and component == _RESERVED:
        return "is 'zookeeper', which the servers keep for themselves: choose another, as /asab"
    return None
