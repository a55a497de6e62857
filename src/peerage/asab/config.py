"""The configuration of the program: INI files over defaults."""

import configparser
import glob
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from peerage.asab.utils import convert_to_seconds, validate_url

__all__ = ["Config", "Configuration"]

log = logging.getLogger(__name__)

_UNSET: Final[Any] = object()
_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{([^}]*)\})", re.ASCII)

# Defaults of the sections that are read here; web, ZooKeeper and others add theirs.
_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(struct_data)s%(message)s"
_DATE_FORMAT: Final = "%d-%b-%Y %H:%M:%S.%f"


def _defaults() -> dict[str, dict[str, str]]:
    program = Path(sys.argv[0]).name
    defaults = {
        "general": {
            "config_file": "",
            "tick_period": "1",
            "var_dir": str(Path("~").expanduser() / f".{Path(program).stem}"),
            "changelog": "",
            "manifest": "",
        },
        "logging": {
            "verbose": os.environ.get("ASAB_VERBOSE") or "no",
            "app_name": program,
            "sd_id": "sd",
            "level": "NOTICE",
            "levels": "",
        },
        "logging:console": {"format": _FORMAT, "datefmt": _DATE_FORMAT, "enabled": "yes"},
        "logging:syslog": {"enabled": "no", "address": "/dev/log", "format": "3"},
        "logging:file": {
            "path": "",
            "format": _FORMAT,
            "datefmt": _DATE_FORMAT,
            "backup_count": "3",
            "backup_max_bytes": "0",
            "rotate_every": "",
        },
        "passwords": {},
    }
    if servers := os.environ.get("ASAB_ZOOKEEPER_SERVERS"):
        defaults["zookeeper"] = {"servers": servers}
    return defaults


class _Interpolation(configparser.ExtendedInterpolation):
    """``${section:key}`` when a value is asked for, ``$VARIABLE`` of the environment when it is read."""

    def before_read(self, parser: Any, section: str, option: str, value: str) -> str:
        return super().before_read(parser, section, option, parser.expand(value))


class Configuration(configparser.ConfigParser):
    """A :class:`configparser.ConfigParser` that knows durations, URLs and lists, also on its sections.

    ``Config["cache"].getseconds("ttl")`` and ``Config.getseconds("cache", "ttl")`` are the same.
    """

    def __init__(self) -> None:
        self._folder: str | None = None  # of the file that is being read
        self._included: set[Path] = set()
        self._presets: dict[str, dict[str, str]] = {}
        super().__init__(interpolation=_Interpolation())

    # For programs

    def add_defaults(self, dictionary: Mapping[str, Mapping[str, Any]]) -> None:
        """Set options that aren't set yet: ``{section: {key: value}}``; variables are expanded in values."""
        for name, values in dictionary.items():
            section = str(name)
            if not self.has_section(section):
                self.add_section(section)
            for option, value in values.items():
                key = self.optionxform(str(option))
                # Not has_option(): that is true of keys in [DEFAULT] as well.
                if key not in self._sections[section]:  # type: ignore[attr-defined] # there is no public way
                    self.set(section, key, value if value is None else self.expand(str(value)))

    def getseconds(self, section: str, option: str, *, fallback: Any = None, **kwargs: Any) -> float:
        """Return a duration (``1.5h``, ``20m``, ``300ms``) in seconds; *fallback* if it isn't set."""
        return self._converted(convert_to_seconds, section, option, fallback, kwargs)  # type: ignore[no-any-return]

    def geturl(
        self,
        section: str,
        option: str,
        *,
        scheme: str | tuple[str, ...] | None = None,
        fallback: Any = None,
        **kwargs: Any,
    ) -> str:
        """Return a URL without surrounding space and final slash; *scheme*: what it must have."""
        value = self.get(section, option, **_with(kwargs, fallback))
        return validate_url(value, scheme)

    def getmultiline(self, section: str, option: str, *, fallback: Any = None, **kwargs: Any) -> Any:
        """Return the words of a value that may have several lines; *fallback* if it isn't set."""
        value = self.get(section, option, fallback=fallback, **_plain(kwargs))
        return value.split() if isinstance(value, str) else value

    # For the application

    def preset(self, section: str, option: str, value: str) -> None:
        """Make *value*, from the command line, the default of the next :meth:`load`."""
        self._presets.setdefault(section, {})[option] = value

    def load(self) -> None:
        """Read the file named by the command line or ``ASAB_CONFIG``, then the defaults, then the includes.

        The file wins over what the program has set before.

        Raises:
            SystemExit: a file is missing or can't be read; the message says which and why.
        """
        presets, self._presets = self._presets, {}
        general = presets.setdefault("general", {})
        configured = general.setdefault("config_file", os.environ.get("ASAB_CONFIG", ""))
        self._included.clear()
        if configured:
            self._read_first_file(Path(configured))
        self.add_defaults(presets)
        self.add_defaults(_defaults())
        self._include(self.get("general", "include", fallback=""))

    def overruled(self, presets: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
        """Yield section, key and value of each preset that another value overrides."""
        for section, values in presets.items():
            for key, value in values.items():
                if self.get(section, key, raw=True, fallback=value) != value:
                    yield section, key, value

    @property
    def presets(self) -> Mapping[str, Mapping[str, str]]:
        """The options of the command line, for the next :meth:`load`."""
        return {section: dict(values) for section, values in self._presets.items()}

    def expand(self, value: str) -> str:
        """Return *value* with ``$NAME`` and ``${NAME}`` of the environment and ``$THIS_DIR`` filled in."""

        def fill(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if name == "THIS_DIR" and self._folder is not None:
                return self._folder
            return os.environ.get(name, found[0])

        return _VARIABLE.sub(fill, value)

    # Files

    def _read_first_file(self, path: Path) -> None:
        try:
            self._read_file(path)
        except FileNotFoundError:
            _give_up(f"The configuration file {path} isn't there: check -c and ASAB_CONFIG.")
        except OSError as error:
            _give_up(f"The configuration file {path} can't be read: {error.strerror}.")

    def _include(self, includes: str) -> None:
        for pattern in includes.split("\n" if "\n" in includes else " "):
            name = self.expand(pattern.strip())
            if name.startswith("zookeeper:"):
                _give_up(
                    f"[general] include={name}: files in ZooKeeper can't be included. Put the file on the "
                    "disk and include it from there."
                )
            paths = sorted(glob.glob(name)) if name else []  # noqa: PTH207 - may be absolute
            if name and not paths and not glob.has_magic(name):
                log.warning("[general] include=%s: there is no such file, it is left out", name)
            for path in paths:
                self._include_file(Path(path))

    def _include_file(self, path: Path) -> None:
        path = path.absolute()
        if path in self._included:
            log.warning("%s is included twice; the second time it is left out", path)
            return
        self._included.add(path)
        self.set("general", "include", "")
        try:
            self._read_file(path)
        except OSError as error:
            # As in ASAB: a pattern may match a folder, or a file of another user.
            log.warning("[general] include: %s can't be read, it is left out: %s", path, error)
        self._include(self.get("general", "include", fallback=""))

    def _read_file(self, path: Path) -> None:
        self._folder = str(path.parent.absolute())
        try:
            with path.open(encoding="utf-8") as file:
                self.read_file(file, source=str(path))
        except (UnicodeDecodeError, configparser.Error) as error:
            _give_up(f"The configuration file {path} can't be read: {_what_is_wrong(error)}.")
        finally:
            self._folder = None

    def _converted(
        self, convert: Any, section: str, option: str, fallback: Any, kwargs: Mapping[str, Any]
    ) -> Any:
        try:
            value = self.get(section, option, **_plain(kwargs))
        except (configparser.NoSectionError, configparser.NoOptionError):
            if fallback is None:
                raise
            return fallback
        return convert(value)


def _plain(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that ``get()`` takes; a section passes ``_impl`` as well."""
    return {key: value for key, value in kwargs.items() if key in {"raw", "vars"}}


def _with(kwargs: Mapping[str, Any], fallback: Any) -> dict[str, Any]:
    # Without a fallback, a missing option is an error that names it.
    return _plain(kwargs) if fallback is None else {**_plain(kwargs), "fallback": fallback}


def _what_is_wrong(error: UnicodeDecodeError | configparser.Error) -> str:
    """Return what is wrong and where, without the text itself, which may be a secret."""
    match error:
        case UnicodeDecodeError():
            return f"it isn't UTF-8, byte {error.start}"
        case configparser.MissingSectionHeaderError():
            return f"line {error.lineno} is above the first [section]"
        case configparser.ParsingError():
            lines = ", ".join(str(number) for number, _ in error.errors)
            return f"neither 'name=value' nor a [section]: line {lines or getattr(error, 'lineno', '?')}"
        case configparser.DuplicateOptionError():
            return f"line {error.lineno}: option {error.option!r} in section {error.section!r} already exists"
        case configparser.DuplicateSectionError():
            return f"line {error.lineno}: section {error.section!r} already exists"
    return " ".join(str(error).split())


def _give_up(message: str) -> NoReturn:
    sys.exit(message)


Config: Final = Configuration()
"""The configuration of this program."""
