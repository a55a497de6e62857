"""The text of a record: parsing it, writing it again, and showing the beginning of a wrong value."""

import json
import math
import sys
from reprlib import Repr
from typing import Any, Final

#: Characters that are shown of a value.
_SHOWN: Final = 60

#: Levels that are kept of a value that is nested too deeply.
_DEEPEST: Final = 50

_STRICT: Final = json.JSONDecoder()

# A number that is longer than Python converts stays text, so that only the field it is in is lost.
_DIGITS: Final = sys.int_info.default_max_str_digits
_TOLERANT: Final = json.JSONDecoder(parse_int=lambda text: int(text) if len(text) <= _DIGITS else text)


def parse_record(data: bytes) -> dict[str, Any]:
    """Parse the text of a record.

    Raises:
        ValueError: it isn't one UTF-8 JSON object; the message completes "The record is …".
    """
    try:
        text = data.decode("utf-8").strip(" \t\n\r")  # the white space of JSON
        try:
            value, end = _STRICT.raw_decode(text)
        except json.JSONDecodeError:
            raise
        except ValueError:
            value, end = _TOLERANT.raw_decode(text)
        if end != len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise ValueError("not usable JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__} instead of an object")  # noqa: TRY004 - the data is wrong, not the call
    return value


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


def printable(text: str) -> bool:
    """Tell whether *text* can be encoded: JSON may contain lone surrogates, which can't."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


class _Shortener(Repr):
    """Shows the beginning of a value, in a time that doesn't grow with the value."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = self.maxdict = self.maxlist = 3
        self.maxlong = self.maxother = _SHOWN

    def repr_str(self, x: str, level: int) -> str:  # noqa: ARG002 - the signature is Repr's
        return ascii(x[:_SHOWN])


_shortener: Final = _Shortener()


def shorten(value: object) -> str:
    """Return the beginning of *value*, quoted and in ASCII, for a message or a log."""
    text = _shortener.repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
