"""Where the log goes: the handlers and levels of the configuration."""

import logging
import logging.handlers
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from peerage.asab.log import LOG_NOTICE
from peerage.asab.logformat import StructuredFormatter, syslog_formatter
from peerage.asab.syslog import syslog_handler

if TYPE_CHECKING:
    from peerage.asab.config import Configuration

__all__ = ["configure", "rotate", "rotate_in_time", "rotation_interval"]

log = logging.getLogger(__name__)

#: Names that people use besides those of logging.
_OTHER_NAMES: Final = {
    "NOT SET": "NOTSET",
    "NOT_SET": "NOTSET",
    "LOG NOTICE": "NOTICE",
    "LOG_NOTICE": "NOTICE",
}

_SECONDS: Final = {"d": 86400, "H": 3600, "M": 60, "s": 1}

#: A log file is begun anew at regular intervals only if it is larger, in bytes.
_WORTH_ROTATING: Final = 1000


#: The handlers that this layer has given the root logger.
_given: Final[list[logging.Handler]] = []


def configure(config: "Configuration") -> None:
    """Give the root logger its handlers, and loggers their levels.

    If the program has given the root logger handlers itself, these stay alone. Those of an application before
    it, in this process, go on.
    """
    root = logging.getLogger()
    complaints: list[str] = []
    if not root.handlers:
        _given[:] = _handlers(config, complaints)
        for handler in _given:
            root.addHandler(handler)
    elif not all(handler in _given for handler in root.handlers):
        complaints.append("The program has its own log handlers: those of the configuration are left out")
    if config.getboolean("logging", "verbose"):
        root.setLevel(logging.DEBUG)
    else:
        _set_level(root, config.get("logging", "level"), complaints)
    for line in filter(None, map(str.strip, config.get("logging", "levels").splitlines())):
        if not line.startswith(("#", ";")):
            name, _, level = line.partition(" ")
            _set_level(logging.getLogger(name), level, complaints)
    # Now there is somewhere to say it.
    for complaint in complaints:
        log.warning("%s", complaint)


def rotate(at_least: int = 0) -> None:
    """Begin a new log file, if that of the configuration has more than *at_least* bytes."""
    for handler in _given:
        if isinstance(handler, logging.handlers.RotatingFileHandler) and (
            not at_least or (handler.stream is not None and handler.stream.tell() > at_least)
        ):
            handler.doRollover()


async def rotate_in_time() -> None:
    """Begin a new log file if it is worth it."""
    rotate(_WORTH_ROTATING)


def rotation_interval(config: "Configuration") -> float | None:
    """Return after how many seconds a new log file is begun; None: never."""
    text = config.get("logging:file", "rotate_every")
    if not text or not config.get("logging:file", "path"):
        return None
    found = re.fullmatch(r"([1-9][0-9]*)([dMHs])", text)
    if found is None:
        log.error("[logging:file] rotate_every=%s: write a number and d, H, M (minutes) or s", text)
        return None
    return float(int(found[1]) * _SECONDS[found[2]])


def _handlers(config: "Configuration", complaints: list[str]) -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    if config.getboolean("logging:console", "enabled"):
        console = logging.StreamHandler(sys.stderr)
        console.setFormatter(StructuredFormatter.of(config, "logging:console", colour=sys.stderr.isatty()))
        handlers.append(console)
    if path := config.get("logging:file", "path"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            path,
            encoding="utf-8",
            backupCount=config.getint("logging:file", "backup_count"),
            maxBytes=config.getint("logging:file", "backup_max_bytes"),
        )
        file.setFormatter(StructuredFormatter.of(config, "logging:file"))
        handlers.append(file)
    if config.getboolean("logging:syslog", "enabled"):
        try:
            syslog = syslog_handler(config.get("logging:syslog", "address"))
            syslog.setFormatter(syslog_formatter(config))
            handlers.append(syslog)
        except ValueError as error:
            complaints.append(str(error))
    return handlers


def _set_level(logger: logging.Logger, name: str, complaints: list[str]) -> None:
    name = name.strip().upper()
    level = logging.getLevelNamesMapping().get(_OTHER_NAMES.get(name, name))
    if level is not None:
        logger.setLevel(level)
        return
    complaints.append(f"[logging] level {name!r} of {logger.name} isn't known: write DEBUG, INFO, NOTICE, …")
    if logger is logging.getLogger():
        logger.setLevel(LOG_NOTICE)
