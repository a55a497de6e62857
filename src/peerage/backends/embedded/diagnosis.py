"""Whether the folder of an embedded registry is fit for it; pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from peerage.diagnosis import Finding, Severity

_OK, _NOTE, _WARNING, _PROBLEM = Severity.OK, Severity.NOTE, Severity.WARNING, Severity.PROBLEM

#: File systems on which locks and changes of other machines aren't seen reliably.
_SHARED: Final = ("nfs", "9p", "virtiofs", "cifs", "smb", "ceph", "gluster", "fuse.")

#: Bytes and files that should be free: a record is smaller than 64 kB, and each is one file.
_LITTLE_SPACE: Final = 50_000_000
_NO_SPACE: Final = 1_000_000
_FEW_FILES: Final = 1_000

#: Descriptors that a process should be allowed: one for each connection and each record.
_FEW_DESCRIPTORS: Final = 256

#: Names that are listed in one finding.
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """What was seen in and about a folder."""

    path: str
    group: str | None
    """The group of users who share it; None if it is this user's alone."""
    living: int
    """Records whose processes live."""
    dead: int
    """Records and drafts whose processes have died."""
    strangers: Sequence[str]
    """Names of other files."""
    file_system: str
    """``ext4``; empty if it isn't known."""
    free_bytes: int
    free_files: int | None
    """Files that can still be created; None where the file system has no limit."""
    inotify: tuple[int, int] | None
    """The instances that processes of this user have, and may have; None without inotify."""
    descriptors: int
    """Descriptors that a process started from here may have."""


def check_folder(found: FolderFacts) -> list[Finding]:
    """Judge the folder and the limits of the system."""
    findings = [*_check_disk(found), *_check_files(found)]
    if all(each.severity is _NOTE for each in findings):
        disk = f"on {found.file_system}, " if found.file_system else ""
        users = "private to this user" if found.group is None else f"shared by the group {found.group}"
        living = "1 record of a living process"
        if found.living != 1:
            living = f"{found.living} records of living processes"
        what = f"{found.path} is {users}, {disk}with {found.free_bytes / 1e9:.1f} GB free; {living}."
        findings.append(Finding("folder", _OK, found.path, what))
    return [*findings, *_check_limits(found)]


def _check_disk(found: FolderFacts) -> Iterator[Finding]:
    elsewhere = "Set PEERAGE_DIR of all your services to a folder on a local disk."
    if found.file_system.startswith(_SHARED):
        what = (
            f"{found.path} is on {found.file_system}, where locks and changes of other machines aren't seen "
            "reliably."
        )
        yield Finding("folder", _PROBLEM, found.path, what, elsewhere)
    if found.free_bytes < _LITTLE_SPACE:
        severity = _PROBLEM if found.free_bytes < _NO_SPACE else _WARNING
        what = f"The disk of {found.path} has {found.free_bytes / 1e6:.1f} MB free."
        todo = "Free some space. Without it, services can't be advertised and can't change their records."
        yield Finding("folder", severity, found.path, what, todo)
    if found.free_files is not None and found.free_files < _FEW_FILES:
        what = f"{found.free_files} files can still be created on the disk of {found.path} (inodes)."
        yield Finding("folder", _WARNING, found.path, what, "Remove files; each record is one.")


def _check_files(found: FolderFacts) -> Iterator[Finding]:
    if found.dead:
        what = (
            f"Files in {found.path} of processes that have died: {found.dead}. The next reader removes them."
        )
        yield Finding("folder", _NOTE, found.path, what)
    if found.strangers:
        listed = ", ".join(f"{name!a}" for name in found.strangers[:_NAMED])
        more = len(found.strangers) - _NAMED
        what = f"{found.path} has files that aren't records: {listed}" + (
            f" and {more} more." * (more > 0) or "."
        )
        yield Finding("folder", _WARNING, found.path, what, "Remove them; readers ignore them.")


def _check_limits(found: FolderFacts) -> Iterator[Finding]:
    if found.inotify is not None and found.inotify[0] >= found.inotify[1]:
        used, allowed = found.inotify
        what = (
            f"Processes of this user have {used} of {allowed} inotify instances. Further ones poll "
            "the folder, and see changes later."
        )
        todo = f"Raise the limit: sysctl fs.inotify.max_user_instances={8 * allowed}"
        yield Finding("limits", _WARNING, found.path, what, todo)
    if found.descriptors < _FEW_DESCRIPTORS:
        what = f"A process may have {found.descriptors} descriptors open: one for each connection and record."
        yield Finding("limits", _WARNING, found.path, what, "Raise it: 'ulimit -n', LimitNOFILE of systemd.")
