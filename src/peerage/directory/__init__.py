"""The in-memory index of instances; pure and synchronous."""

from peerage.directory.criteria import Criteria, fold_criteria, read_criteria
from peerage.directory.directory import (
    Change,
    Directory,
    DirectoryEvent,
    Hidden,
    Problems,
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
    "read_criteria",
    "reconcile",
]
