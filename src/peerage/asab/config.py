"""The configuration of the program, INI files over defaults, and objects that have settings."""

import configparser
import glob
import logging
import os
import re
import sys
from collections import UserDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from peerage.asab.utils import convert_to_seconds, string_to_boolean, validate_url

log = logging.getLogger(__name__)

#: Values of options by their sections.
Options = Mapping[str, Mapping[str, Any]]

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
        "logging:syslog": {"enabled": "no"},
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
        super().__init__(interpolation=_Interpolation())

    # For programs

    def add_defaults(self, dictionary: Options) -> None:
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
        value = self._value(section, option, fallback, kwargs)
        return value if value is fallback else convert_to_seconds(value)

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
        return validate_url(self._value(section, option, fallback, kwargs), scheme)

    def getmultiline(self, section: str, option: str, *, fallback: Any = None, **kwargs: Any) -> Any:
        """Return the words of a value that may have several lines; *fallback* if it isn't set."""
        value = self.get(section, option, fallback=fallback, **kwargs)
        return value.split() if isinstance(value, str) else value

    def _value(self, section: str, option: str, fallback: Any, kwargs: Mapping[str, Any]) -> Any:
        # Without a fallback, a missing option is an error that names it.
        return self.get(section, option, **kwargs, **({} if fallback is None else {"fallback": fallback}))

    # For the application

    def load(self, options: Options) -> None:
        """Read the file named by the command line or ``ASAB_CONFIG``, then the defaults, then the includes.

        Args:
            options: of the command line. A file wins over them, and over what the program has set before.

        Raises:
            SystemExit: a file is missing or can't be read; the message says which and why.
        """
        configured = options.get("general", {}).get("config_file") or os.environ.get("ASAB_CONFIG", "")
        self._included.clear()
        try:
            if configured:
                self._read_file(Path(configured))
        except FileNotFoundError:
            sys.exit(f"The configuration file {configured} isn't there: check -c and ASAB_CONFIG.")
        except OSError as error:
            sys.exit(f"The configuration file {configured} can't be read: {error.strerror}.")
        self.add_defaults({"general": {"config_file": configured}})
        self.add_defaults(options)
        self.add_defaults(_defaults())
        self._include(self.get("general", "include", fallback=""))

    def expand(self, value: str) -> str:
        """Return *value* with ``$NAME`` and ``${NAME}`` of the environment and ``$THIS_DIR`` filled in."""

        def fill(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if name == "THIS_DIR" and self._folder is not None:
                return self._folder
            return os.environ.get(name, found[0])

        return _VARIABLE.sub(fill, value)

    # Files

    def _include(self, includes: str) -> None:
        for pattern in includes.split("\n" if "\n" in includes else " "):
            name = self.expand(pattern.strip())
            if name.startswith("zookeeper:"):
                sys.exit(
                    f"[general] include={name}: files in ZooKeeper can't be included. Put the file on the "
                    "disk and include it from there."
                )
            paths = sorted(glob.glob(name)) if glob.has_magic(name) else [name]  # noqa: PTH207 - may be absolute
            for path in [Path(each).absolute() for each in paths if each]:
                if path in self._included:
                    log.warning("%s is included twice; the second time it is left out", path)
                    continue
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
            sys.exit(f"The configuration file {path} can't be read: {_what_is_wrong(error)}.")
        finally:
            self._folder = None


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
    return " ".join(error.message.split())


Config: Final = Configuration()
"""The configuration of this program."""


class ConfigurableDict(UserDict[str, Any]):
    """The settings of one object."""

    def __repr__(self) -> str:
        # Names only: there are passwords and keys among the values.
        return f"<{type(self).__name__} {', '.join(self.data)}>"

    def getboolean(self, key: str) -> bool:
        """Return a setting that is yes or no."""
        return string_to_boolean(self[key])

    def getseconds(self, key: str) -> float:
        """Return a setting that is a duration, in seconds."""
        return convert_to_seconds(self[key])

    def getint(self, key: str) -> int:
        """Return a setting that is an integer."""
        return int(self[key])

    def getfloat(self, key: str) -> float:
        """Return a setting that is a number."""
        return float(self[key])

    def geturl(self, key: str, scheme: str | tuple[str, ...] | None = None) -> str:
        """Return a setting that is a URL, of that scheme."""
        return validate_url(self[key], scheme)


class Configurable:
    """An object whose settings are in ``self.Config``.

    They come from ``ConfigDefaults`` of the base classes, ``ConfigDefaults`` of the class itself, the section
    of the configuration and *config*; a later one of these wins.

    Args:
        config_section_name: the section; it may be missing.
        config: settings of the program.

    Raises:
        ValueError: a default is None, which can't be written in a configuration file.
    """

    ConfigDefaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, config_section_name: str, config: Mapping[str, Any] | None = None) -> None:
        self.Config = ConfigurableDict()
        for base in reversed(type(self).__mro__):
            for key, value in vars(base).get("ConfigDefaults", {}).items():
                if value is None:
                    raise ValueError(
                        f"ConfigDefaults of {base.__name__} has None for {key!r} of [{config_section_name}]: "
                        "give a text, or '' for no value."
                    )
                self.Config[key] = value
        if Config.has_section(config_section_name):
            self.Config.update(Config.items(config_section_name))
        if config is not None:
            self.Config.update(config)


#: Its former name.
ConfigObject = Configurable
