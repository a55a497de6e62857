"""The in-memory index of instances; pure and synchronous."""

from peerage.directory.directory import Change, Criteria, Directory, DirectoryEvent, Problems, fold_criteria
from peerage.directory.reconcile import reconcile

__all__ = ["Change", "Criteria", "Directory", "DirectoryEvent", "Problems", "fold_criteria", "reconcile"]
