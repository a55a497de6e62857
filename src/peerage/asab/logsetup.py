"""Where the log goes: the handlers of the root logger, as the configuration says."""

import logging
import logging.handlers
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from peerage.asab.log import LOG_NOTICE
from peerage.asab.logformat import StructuredFormatter

if TYPE_CHECKING:
    from peerage.asab.config import Configuration

__all__ = ["configure", "rotate"]

log = logging.getLogger(__name__)


def configure(config: "Configuration") -> None:
    """Give the root logger its handlers and levels; handlers that the program gave it itself stay alone."""
    root = logging.getLogger()
    if root.hasHandlers():
        log.info("The log has handlers already: [logging:console], [logging:file] and so on are ignored")
    else:
        for handler in _handlers(config):
            root.addHandler(handler)
    verbose = config.getboolean("logging", "verbose")
    root.setLevel(logging.DEBUG if verbose else _level(config.get("logging", "level")) or LOG_NOTICE)


def rotate() -> None:
    """Begin a new log file."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.handlers.RotatingFileHandler):
            handler.doRollover()


def _handlers(config: "Configuration") -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    if config.getboolean("logging:console", "enabled"):
        console = logging.StreamHandler(sys.stderr)
        console.setFormatter(StructuredFormatter.of(config, "logging:console"))
        handlers.append(console)
    if path := config.get("logging:file", "path"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            path,
            backupCount=config.getint("logging:file", "backup_count"),
            maxBytes=config.getint("logging:file", "backup_max_bytes"),
        )
        file.setFormatter(StructuredFormatter.of(config, "logging:file"))
        handlers.append(file)
    return handlers


def _level(name: str) -> int | None:
    level = logging.getLevelNamesMapping().get(name.strip().upper())
    if level is None:
        log.error("[logging] level=%s: there is no such level", name)
    return level
