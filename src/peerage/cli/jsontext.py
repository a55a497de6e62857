"""JSON for other programs: ASCII, one line, and valid whatever was advertised."""

import json
import math
from typing import Any

__all__ = ["as_json"]

#: Levels that are kept of a value that can't be written as it is.
_DEEPEST = 50


def as_json(value: dict[str, Any] | list[Any]) -> str:
    """Return *value* as one line of JSON.

    Python reads ``NaN`` and ``Infinity``, which aren't JSON and which other programs refuse: they become
    null. So does a value that is nested too deeply to be written.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return json.dumps(_tamed(value, _DEEPEST))


def _tamed(value: Any, depth: int) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict() | list() | tuple() if depth == 0:
            return None
        case dict():
            return {key: _tamed(item, depth - 1) for key, item in value.items()}
        case list() | tuple():
            return [_tamed(item, depth - 1) for item in value]
        case _:
            return value
