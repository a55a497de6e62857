"""The handlers, the format and the levels of the log, as configured."""

import logging
import logging.handlers
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from peerage.asab.absent import REAL_ASAB
from peerage.asab.log import LOG_NOTICE, STRUCT_DATA

if TYPE_CHECKING:
    from peerage.asab.config import Configuration

log = logging.getLogger(__name__)

#: Programs report here that they use what will be removed. Not in log.py, which is loaded before its class.
LogObsolete: Final = logging.getLogger("OBSOLETE")

#: The handlers that this layer has added to the root logger.
_given: Final[list[logging.Handler]] = []


def configure(config: "Configuration") -> None:
    """Add the configured handlers to the root logger, and set the levels of loggers.

    Handlers that the program itself has added to the root logger stay the only ones. Handlers that an earlier
    application of this process has added stay in use.
    """
    root = logging.getLogger()
    problems: list[str] = []
    if config.get("logging:file", "rotate_every"):
        problems.append(
            f"[logging:file] rotate_every: a new log file begins at SIGHUP and at backup_max_bytes only. "
            f"{REAL_ASAB}"
        )
    if config.getboolean("logging:syslog", "enabled"):
        problems.append(
            "[logging:syslog] enabled, or -s: peerage.asab doesn't write to syslog. Let the service manager "
            f"store standard error. {REAL_ASAB}"
        )
    if not root.handlers:
        _given[:] = _handlers(config)
        for handler in _given:
            root.addHandler(handler)
    elif not all(handler in _given for handler in root.handlers):
        problems.append("The program has added log handlers itself, so the configured handlers are not used")
    if config.getboolean("logging", "verbose"):
        root.setLevel(logging.DEBUG)
    else:
        _set_level(root, config.get("logging", "level"), problems)
    for line in filter(None, map(str.strip, config.get("logging", "levels").splitlines())):
        if not line.startswith(("#", ";")):
            name, _, level = line.partition(" ")
            _set_level(logging.getLogger(name), level, problems)
    # Now the log has handlers.
    for problem in problems:
        log.warning("%s", problem)


def rotate() -> None:
    """Begin a new log file, if the configuration has one."""
    for handler in _given:
        if isinstance(handler, logging.handlers.RotatingFileHandler):
            handler.doRollover()


class _Formatter(logging.Formatter):
    """The format of a section of the configuration, with ``%(struct_data)s``, and ``%f`` in dates."""

    def __init__(self, config: "Configuration", section: str) -> None:
        super().__init__(config.get(section, "format"), config.get(section, "datefmt"))
        self._sd_id = config.get("logging", "sd_id")

    def format(self, record: logging.LogRecord) -> str:
        """Fill in the format."""
        data = getattr(record, STRUCT_DATA, None)
        pairs = [f'{key}="{_quoted(value)}"' for key, value in (data or {}).items()]
        record.struct_data = "" if data is None else f"[{self._sd_id} {' '.join(pairs)}] "
        return super().format(record)

    def formatTime(  # noqa: N802 - of logging
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the time; microseconds included, which :mod:`logging` itself can't."""
        return datetime.fromtimestamp(record.created, UTC).astimezone().strftime(datefmt or "")


def _quoted(value: Any) -> str:
    r"""Return the text of *value*; quotes and characters that a terminal obeys are escaped.

    >>> _quoted('a "b" \x9b')
    'a \\"b\\" \\x9b'
    """
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _handlers(config: "Configuration") -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    if config.getboolean("logging:console", "enabled"):
        console = logging.StreamHandler(sys.stderr)
        console.setFormatter(_Formatter(config, "logging:console"))
        handlers.append(console)
    if path := config.get("logging:file", "path"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            path,
            encoding="utf-8",
            backupCount=config.getint("logging:file", "backup_count"),
            maxBytes=config.getint("logging:file", "backup_max_bytes"),
        )
        file.setFormatter(_Formatter(config, "logging:file"))
        handlers.append(file)
    return handlers


def _set_level(logger: logging.Logger, name: str, problems: list[str]) -> None:
    # ASAB takes LOG NOTICE, LOG_NOTICE and NOT SET as well.
    name = name.strip().upper().replace("_", " ")
    level = logging.getLevelNamesMapping().get(name.removeprefix("LOG ").replace(" ", ""))
    if level is not None:
        logger.setLevel(level)
        return
    problems.append(f"[logging] level {name!r} of {logger.name} isn't known: write DEBUG, INFO, NOTICE, …")
    if logger is logging.getLogger():
        logger.setLevel(LOG_NOTICE)
