"""The in-memory index of instances; pure and synchronous."""

from peerage.directory.directory import (
    Change,
    Criteria,
    Directory,
    DirectoryEvent,
    Hidden,
    Problems,
    fold_criteria,
)
from peerage.directory.guard import SUSPECT_SECONDS, Guard
from peerage.directory.reconcile import reconcile

__all__ = [
    "SUSPECT_SECONDS",
    "Change",
    "Criteria",
    "Directory",
    "DirectoryEvent",
    "Guard",
    "Hidden",
    "Problems",
    "fold_criteria",
    "reconcile",
]
