"""Objects whose settings come from a section of the configuration."""

from collections import UserDict
from collections.abc import Mapping
from typing import Any, ClassVar

from peerage.asab.config import Config
from peerage.asab.utils import convert_to_seconds, string_to_boolean, validate_url

__all__ = ["ConfigObject", "Configurable", "ConfigurableDict"]


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
