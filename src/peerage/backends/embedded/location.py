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

    @property
    def folder(self) -> str:
        """Name of the subfolder that holds the records."""
        return f"run.{single_name(self.path)}"

    @property
    def url(self) -> str:
        """The normal form of the URL."""
        query = "" if self.path == DEFAULT_PATH else f"?path={self.path}"
        return f"embedded://{quote(self.base)}{query}"


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
    if parts.path:
        base = _checked_base(unquote(parts.path), "embedded:///folder")
    elif from_environment := os.environ.get("PEERAGE_DIR"):
        base = _checked_base(from_environment, "PEERAGE_DIR")
    else:
        # Neither XDG_RUNTIME_DIR nor /run/user/<uid>: they exist in a login and not always under systemd or
        # cron, so processes of one user would use two registries that don't see each other.
        base = f"/tmp/peerage-{os.geteuid()}"  # noqa: S108 - private, and refused if it belongs to another user
    return Location(base, _registry_path(parts.query))


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


def _registry_path(query: str) -> str:
    path = DEFAULT_PATH
    for number, (option, value) in enumerate(parse_qsl(query, keep_blank_values=True)):
        if option != "path" or number:
            raise ConfigurationError(
                f"An embedded registry has one option, 'path', not {option!a}: write embedded:?path=/asab."
            )
        path = "/" + value.strip("/")
    if single_name(path) is None:
        raise ConfigurationError(
            f"{path!a} can't be the path of a registry: use segments of A-Z, a-z, 0-9, '_', '.' and '-' "
            f"with '/' between them, at most {_LONGEST_NAME} characters."
        )
    return path
