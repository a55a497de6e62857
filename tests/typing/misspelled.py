"""A misspelled public name is an error, although names are loaded on first use."""

from peerage import Discoveri  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]

__all__ = ["Discoveri"]
