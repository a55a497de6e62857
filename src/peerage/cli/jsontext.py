"""JSON for other programs: ASCII, one line, and valid for any record."""

import json
import math
from typing import Any

__all__ = ["as_json"]

#: Levels that are kept of a value that is nested too deeply.
_DEEPEST = 50


def as_json(value: dict[str, Any] | list[Any]) -> str:
    """Return *value* as one line of JSON.

    ``NaN`` and ``Infinity``, which Python reads although they aren't JSON, become null, and so do values that
    are nested too deeply to be written.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return json.dumps(_restricted(value, _DEEPEST))


def _restricted(value: Any, depth: int) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict() | list() | tuple() if depth == 0:
            return None
        case dict():
            return {key: _restricted(item, depth - 1) for key, item in value.items()}
        case list() | tuple():
            return [_restricted(item, depth - 1) for item in value]
        case _:
            return value
