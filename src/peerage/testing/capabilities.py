"""The capabilities of a backend; a test that requires one which the backend lacks isn't collected."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["CAPABILITIES", "missing_tests", "requires"]

#: What a backend may declare, and what each capability means.
CAPABILITIES: Final = {
    "processes": "separate processes see each other, and a record vanishes with its process",
    "outage": "a participant can lose touch with the registry and find it again",
    "session": "the registry can take a living participant for dead",
    "secrets": "shared secrets can be kept",
}

_Test = TypeVar("_Test", bound=Callable[..., Any])


def requires(*capabilities: str) -> Callable[[_Test], _Test]:
    """Mark a test as one that only backends with all these capabilities can pass."""
    unknown = set(capabilities) - CAPABILITIES.keys()
    if unknown:
        raise ValueError(f"{sorted(unknown)} aren't capabilities; known are {sorted(CAPABILITIES)}.")

    def mark(test: _Test) -> _Test:
        test.__dict__["requires"] = frozenset(capabilities)
        return test

    return mark


def missing_tests(suite: type, capabilities: frozenset[str]) -> list[str]:
    """Return the names of the tests in *suite* that require more than *capabilities*."""
    return [
        name
        for name in dir(suite)
        if name.startswith("test_")
        and not getattr(getattr(suite, name), "requires", frozenset()) <= capabilities
    ]
