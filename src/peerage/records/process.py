"""Which process a record is of, so that another one on the same host can tell whether it has ended.

A number of a process alone doesn't say it: numbers are used again, and those of another container mean other
processes. So a record also has the PID namespace and the time when the process began, in ticks since the
start of the machine. This is Linux; elsewhere nothing is known.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

#: Where a record has it: under ``peerage``.
RECORD_FIELD = "process"


class _State(NamedTuple):
    letter: str
    began: int


@lru_cache(maxsize=4)
def process_key(pid: int) -> str | None:
    """Return the namespace and the beginning of *pid*, ``4026531836.8512``; None if they can't be known."""
    try:
        return f"{_namespace()}.{_state(pid).began}"
    except OSError:
        return None


def has_ended(pid: object, key: object) -> bool:
    """Tell whether the process of a record of this host has certainly ended.

    Args:
        pid: its number, as the record says.
        key: its :func:`process_key`, likewise.
    """
    if type(pid) is not int or pid <= 0 or not isinstance(key, str):
        return False
    namespace, _, began = key.partition(".")
    try:
        if namespace != str(_namespace()):
            return False
    except OSError:
        return False
    try:
        state = _state(pid)
    except OSError:
        return _is_free(pid)
    # A process that has ended and wasn't waited for has closed everything.
    return state.letter in {"Z", "X"} or str(state.began) != began


def _is_free(pid: int) -> bool:
    """Tell whether no process has the number: a process of another user may be hidden in /proc."""
    try:
        os.kill(pid, 0)  # this sends nothing
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _namespace(path: Path = Path("/proc/self/ns/pid")) -> int:
    return path.stat().st_ino


def _state(pid: int) -> _State:
    """Read the state and the beginning, fields 3 and 22; OSError if that isn't possible."""
    # The name of the command, field 2, may contain anything, and ends with the last ')'.
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    try:
        return _State(fields[0].decode(), int(fields[19]))
    except (IndexError, ValueError) as error:
        raise OSError(f"/proc/{pid}/stat can't be read") from error
