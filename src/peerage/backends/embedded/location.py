"""The location of an embedded registry: its URL and its folder."""

import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from peerage.errors import ConfigurationError

DEFAULT_PATH: Final = "/asab"

#: Characters in the name of a folder or file; file systems allow 255 bytes.
_LONGEST_NAME: Final = 200

_SEGMENT = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Location:
    """The folder of one registry path."""

    base: str
    """The user's folder, absolute: ``/tmp/peerage-1000``."""
    path: str
    """The path of the registry, as in ZooKeeper: ``/asab``."""
    group: str | None = None
    """Name or number of the group of users who share the folder; None if it is this user's alone."""

    @property
    def folder(self) -> str:
        """Name of the subfolder that holds the records."""
        return f"run.{single_name(self.path)}"

    @property
    def url(self) -> str:
        """The normal form of the URL."""
        options = [f"path={self.path}"] if self.path != DEFAULT_PATH else []
        if self.group is not None:
            options.append(f"group={quote(self.group)}")
        return f"embedded://{quote(self.base)}{'?' if options else ''}{'&'.join(options)}"


def single_name(path: str) -> str | None:
    """Return a file name for an absolute path of plain segments, a different one for each path, or None."""
    first, *segments = path.split("/")
    if first or not segments:
        return None
    if any(segment in {".", ".."} or not _SEGMENT.fullmatch(segment) for segment in segments):
        return None
    # Segments contain no '%', so two paths never have the same name.
    name = "%".join(segments)
    return name if len(name) <= _LONGEST_NAME else None


def parse_url(url: str) -> Location:
    """Return the location that ``embedded:``, ``embedded:///folder`` or ``embedded:?path=/other`` names.

    A group that shares the folder comes from where the folder comes from: ``embedded:///folder?group=services``,
    or ``PEERAGE_DIR`` and ``PEERAGE_GROUP``.

    Raises:
        ConfigurationError: the URL is invalid; the message repeats nothing that could be a credential.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError("The URL can't be read: write embedded: or embedded:///folder.") from error
    if parts.netloc:
        raise ConfigurationError(
            "The embedded registry is on this machine and takes no host: "
            "write embedded:///folder, with three slashes."
        )
    if parts.fragment:
        raise ConfigurationError("The URL of an embedded registry has no '#' part: write embedded:///folder.")
    options = _options(parts.query)
    base, group = _folder(unquote(parts.path), options.get("group"))
    return Location(base, _registry_path(options.get("path")), group)


def _folder(path: str, group: str | None) -> tuple[str, str | None]:
    """Return the folder and its group, both from the URL or both from the environment."""
    if path:
        return _checked_base(path, "embedded:///folder"), group
    if group is not None:
        raise ConfigurationError(
            "The URL names a group and no folder: write embedded:///folder?group=NAME, or set PEERAGE_DIR "
            "and PEERAGE_GROUP."
        )
    folder, group = os.environ.get("PEERAGE_DIR"), os.environ.get("PEERAGE_GROUP") or None
    if folder:
        return _checked_base(folder, "PEERAGE_DIR"), group and _checked_group(group, "PEERAGE_GROUP")
    if group:
        raise ConfigurationError("PEERAGE_GROUP is set: set PEERAGE_DIR to the folder that the group shares.")
    # Neither XDG_RUNTIME_DIR nor /run/user/<uid>: they exist in a login and not always under systemd or cron,
    # so processes of one user would use two registries that don't see each other.
    return f"/tmp/peerage-{os.geteuid()}", None  # noqa: S108 - private, and refused if it is another user's


def _checked_base(folder: str, source: str) -> str:
    segments = folder.split("/")
    if segments[0] or ".." in segments or "\0" in folder:
        raise ConfigurationError(
            f"{source}: the folder of an embedded registry is an absolute path without '..', not {folder!a}."
        )
    base = "/" + "/".join(segment for segment in segments if segment not in {"", "."})
    if base == "/":
        raise ConfigurationError(
            f"{source}: the root folder can't be a registry: name one that belongs to this user alone."
        )
    return base


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option not in {"path", "group"} or option in options:
            raise ConfigurationError(
                f"An embedded registry has the options 'path' and 'group', each once, not {option!a}: "
                "write embedded:?path=/asab or embedded:///folder?group=NAME."
            )
        options[option] = value
    if "group" in options:
        _checked_group(options["group"], "embedded:///folder?group=NAME")
    return options


def _checked_group(group: str, source: str) -> str:
    if not group or not group.isprintable():
        raise ConfigurationError(f"{source}: the group is the name or number of one, not {group!a}.")
    return group


def _registry_path(value: str | None) -> str:
    path = DEFAULT_PATH if value is None else "/" + value.strip("/")
    if single_name(path) is None:
        raise ConfigurationError(
            f"{path!a} can't be the path of a registry: use segments of A-Z, a-z, 0-9, '_', '.' and '-' "
            f"with '/' between them, at most {_LONGEST_NAME} characters."
        )
    return path
