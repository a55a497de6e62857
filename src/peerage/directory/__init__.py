"""The in-memory index of instances; pure and synchronous."""

from peerage.directory.directory import (
    Change,
    Counts,
    Criteria,
    Directory,
    DirectoryEvent,
    Problems,
    fold_criteria,
)
from peerage.directory.index import Standing
from peerage.directory.reconcile import reconcile

__all__ = [
    "Change",
    "Counts",
    "Criteria",
    "Directory",
    "DirectoryEvent",
    "Problems",
    "Standing",
    "fold_criteria",
    "reconcile",
]
