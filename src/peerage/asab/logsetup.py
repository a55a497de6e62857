"""The handlers and levels of the log, as configured."""

import logging
import logging.handlers
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from peerage.asab.absent import REAL_ASAB
from peerage.asab.log import LOG_NOTICE
from peerage.asab.logformat import StructuredFormatter, syslog_formatter

if TYPE_CHECKING:
    from peerage.asab.config import Configuration

__all__ = ["configure", "rotate"]

log = logging.getLogger(__name__)

#: Further spellings of levels.
_OTHER_NAMES: Final = {
    "NOT SET": "NOTSET",
    "NOT_SET": "NOTSET",
    "LOG NOTICE": "NOTICE",
    "LOG_NOTICE": "NOTICE",
}

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
    if not root.handlers:
        _given[:] = _handlers(config, problems)
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


class _Syslog(logging.handlers.DatagramHandler):
    """Sends without waiting: a syslog that is stuck loses messages and doesn't stop the event loop.

    Reports on standard error once that it can't send.
    """

    _failed = False

    def makePickle(self, record: logging.LogRecord) -> bytes:  # noqa: N802 - of logging
        """Return what is sent."""
        return self.format(record).encode()

    def makeSocket(self, timeout: float = 1) -> socket.socket:  # noqa: ARG002, N802 - of logging
        """Return a socket that never waits."""
        made = super().makeSocket()
        made.settimeout(0)
        return made

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - of logging
        """Report the first error."""
        if not self._failed:
            self._failed = True
            super().handleError(record)


def _syslog(config: "Configuration") -> logging.Handler:
    """Return the handler of ``[logging:syslog]``.

    Raises:
        ValueError: the address or the format isn't one that this layer has.
    """
    address = config.get("logging:syslog", "address")
    url = urlsplit(address)
    if not address.startswith("/") and url.scheme != "udp":
        raise ValueError(
            f"[logging:syslog] address={address}: write a path, or a URL such as udp://127.0.0.1:514. "
            f"{REAL_ASAB}"
        )
    formatter = syslog_formatter(config)
    if address.startswith("/"):
        handler = _Syslog(address, None)
    else:
        # Resolved once: a look-up for each message would stop the event loop.
        host = socket.gethostbyname(url.hostname or "localhost")
        handler = _Syslog(host, url.port or logging.handlers.SYSLOG_UDP_PORT)
    handler.setFormatter(formatter)
    return handler


def _handlers(config: "Configuration", problems: list[str]) -> list[logging.Handler]:
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
            handlers.append(_syslog(config))
        except (OSError, ValueError) as error:
            problems.append(str(error))
    return handlers


def _set_level(logger: logging.Logger, name: str, problems: list[str]) -> None:
    name = name.strip().upper()
    level = logging.getLevelNamesMapping().get(_OTHER_NAMES.get(name, name))
    if level is not None:
        logger.setLevel(level)
        return
    problems.append(f"[logging] level {name!r} of {logger.name} isn't known: write DEBUG, INFO, NOTICE, …")
    if logger is logging.getLogger():
        logger.setLevel(LOG_NOTICE)
