"""Who has access to a folder of the embedded registry: the user who runs the process, or a group of users."""

import grp
import os
import shlex
import stat
from dataclasses import dataclass
from typing import Final, Self

from peerage.errors import RegistryDeniedError

ELSEWHERE: Final = "set PEERAGE_DIR, or the URL embedded:///folder, to another folder for all your services"

#: Mode bits: access for the group and for all other users, and for these others alone.
_GROUP_AND_OTHERS: Final = 0o077
_OTHERS: Final = 0o007


@dataclass(frozen=True, slots=True)
class Access:
    """The owner, group and mode that folders and files must have; anything else is refused or ignored.

    *group* and *gid* are the name and number of the group, None if the user who runs the process has access
    alone.
    """

    group: str | None = None
    gid: int | None = None

    @classmethod
    def of(cls, group: str | None) -> Self:
        """Return the access of *group*, a name or a number as text, or that of this user alone.

        Raises:
            RegistryDeniedError: the group doesn't exist.
        """
        if group is None:
            return cls()
        if group.isdecimal():
            return cls(group, int(group))
        try:
            return cls(group, grp.getgrnam(group).gr_gid)
        except KeyError:
            raise RegistryDeniedError(
                f"There is no group {group!a} on this machine: make it with 'groupadd', and add the users of "
                "all your services, or name another group."
            ) from None

    @property
    def folder_mode(self) -> int:
        """The mode of folders; in a shared one, new files and folders get its group."""
        return 0o700 if self.gid is None else 0o2770

    @property
    def file_mode(self) -> int:
        """The mode of new files; no user writes to the file of another one, but may replace it."""
        return 0o600 if self.gid is None else 0o640

    def trusts(self, found: os.stat_result) -> bool:
        """Whether this is a regular file that a user with access wrote."""
        if not stat.S_ISREG(found.st_mode):
            return False
        if self.gid is None:
            return found.st_uid == os.geteuid()
        return found.st_gid == self.gid and not found.st_mode & _OTHERS

    def trusts_secret(self, found: os.stat_result) -> bool:
        """Whether this is such a file, and no other user can read it."""
        return self.trusts(found) and not found.st_mode & (_GROUP_AND_OTHERS if self.gid is None else _OTHERS)

    @property
    def of_secrets(self) -> str:
        """What the file of a secret must be, and what to do if it isn't: the end of a sentence."""
        if self.gid is None:
            return (
                "a file that this user alone can read: 'chmod 600' it if you trust its content, or remove it"
            )
        return (
            f"a file that its owner and the group {self.group!a} alone can read: 'chgrp' it to that group "
            "and 'chmod 640' it if you trust its content, or remove it"
        )

    def check_folder(self, found: os.stat_result, path: str) -> None:
        """Raise RegistryDeniedError if the folder *path* can't be trusted; the message says what to do."""
        if not stat.S_ISDIR(found.st_mode):
            raise RegistryDeniedError(
                f"{path!a} is a symbolic link or not a folder: remove it, or {ELSEWHERE}."
            )
        mode = stat.S_IMODE(found.st_mode)
        if self.gid is None:
            self._check_owner(found, path, mode)
        else:
            self._check_group(found, path, mode)

    def _check_owner(self, found: os.stat_result, path: str, mode: int) -> None:
        if found.st_uid != os.geteuid():
            raise RegistryDeniedError(
                f"{path!a} belongs to user {found.st_uid}, and this process runs as user {os.geteuid()}: "
                f"have it removed, or {ELSEWHERE}."
            )
        if mode & 0o777 != stat.S_IRWXU:
            raise RegistryDeniedError(
                f"{path!a} has mode {mode:04o}, but must be open to its owner and to no other user: "
                f"make it 'chmod 700', or {ELSEWHERE}. A group of users shares it with '?group=NAME' in the "
                "URL, or PEERAGE_GROUP."
            )

    def _check_group(self, found: os.stat_result, path: str, mode: int) -> None:
        if found.st_gid != self.gid:
            raise RegistryDeniedError(
                f"{path!a} belongs to group {found.st_gid}, and not to {self.group!a} ({self.gid}): "
                f"have it removed or given to that group, or {ELSEWHERE}."
            )
        # Others may set the sticky bit, so that each user can remove files of their own only.
        if mode & ~0o1000 != self.folder_mode:
            raise RegistryDeniedError(
                f"{path!a} has mode {mode:04o}, but must be open to its owner and the group {self.group!a} "
                f"and to no other user, and give new files its group: make it 'chmod 2770', or {ELSEWHERE}."
            )

    def check_membership(self, path: str) -> None:
        """Raise RegistryDeniedError if access to *path* is denied because the user isn't in the group."""
        if self.gid is not None and self.gid not in {os.getegid(), *os.getgroups()}:
            raise RegistryDeniedError(
                f"{path!a} is shared by the group {self.group!a}, and this process doesn't run with it: "
                f"add user {os.geteuid()} to the group with 'usermod -aG', and then start the process again."
            )

    def check_missing(self, path: str) -> None:
        """Raise RegistryDeniedError if the folder *path*, which doesn't exist, is a shared one."""
        if self.gid is not None:
            command = shlex.join(["install", "-d", "-g", str(self.group), "-m", "2770", path])
            raise RegistryDeniedError(
                f"{path!a} doesn't exist, and the folder of a group isn't made by its users: have an "
                f'administrator run "{command}".'
            )
