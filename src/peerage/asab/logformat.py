"""The format of a line in the log, for people and for syslog."""

import logging
import os
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from peerage.asab.absent import REAL_ASAB
from peerage.asab.log import LOG_NOTICE, STRUCT_DATA

if TYPE_CHECKING:
    from peerage.asab.config import Configuration

__all__ = ["StructuredFormatter", "syslog_formatter"]

#: Syslog's facility local0.
_FACILITY: Final = 16

#: Of a level and those below it: the severity in syslog, and the colour on a terminal.
_SEVERITIES: Final = (
    (logging.DEBUG, 7, 34),
    (logging.INFO, 6, 32),
    (LOG_NOTICE, 5, 36),
    (logging.WARNING, 4, 33),
    (logging.ERROR, 3, 31),
    (logging.CRITICAL, 2, 35),
)
_ALERT: Final = (1, 37)


class StructuredFormatter(logging.Formatter):
    """A formatter with the fields ``%(struct_data)s`` and ``%(priority)s``, and ``%f`` in dates."""

    def __init__(
        self,
        fmt: str,
        datefmt: str | None,
        *,
        sd_id: str = "sd",
        colour: bool = False,
    ) -> None:
        super().__init__(fmt, datefmt)
        self._format = fmt
        self._sd_id = sd_id
        self._colour = colour

    @classmethod
    def of(cls, config: "Configuration", section: str, *, colour: bool = False) -> Self:
        """Return the formatter that a section of the configuration describes."""
        return cls(
            config.get(section, "format"),
            config.get(section, "datefmt"),
            sd_id=config.get("logging", "sd_id"),
            colour=colour,
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of logging
        """Fill in the format."""
        severity, colour = _severity(record.levelno)
        values = {
            **vars(record),
            "struct_data": self._render(getattr(record, STRUCT_DATA, None)),
            "priority": (_FACILITY << 3) + severity,
        }
        if self._colour:
            values["levelname"] = f"\x1b[1;{colour}m{record.levelname}\x1b[0m"
        return self._format % values

    def formatTime(  # noqa: N802 - of logging
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the time; microseconds included, which :mod:`logging` itself can't."""
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()
        if datefmt is None:
            return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
        return moment.strftime(datefmt)

    def _render(self, data: Any) -> str:
        if data is None:
            return ""
        pairs = (f'{key}="{_quoted(value)}"' for key, value in data.items())
        return f"[{self._sd_id} {' '.join(pairs)}] "


def syslog_formatter(config: "Configuration") -> logging.Formatter:
    """Return the formatter of messages to syslog, RFC 3164.

    Raises:
        ValueError: ``[logging:syslog] format`` is another one.
    """
    name = config.get("logging:syslog", "format")
    if name != "3":
        raise ValueError(
            f"[logging:syslog] format={name}: peerage.asab has the format 3 (RFC 3164) only. {REAL_ASAB}"
        )
    host, program = _escaped(socket.gethostname()), _escaped(config.get("logging", "app_name"))
    return StructuredFormatter(
        f"<%(priority)s>%(asctime)s {host} {program}[{os.getpid()}]:"
        "%(levelname)s %(name)s %(struct_data)s%(message)s\0",
        "%b %d %H:%M:%S",
        sd_id=config.get("logging", "sd_id"),
    )


def _severity(level: int) -> tuple[int, int]:
    return next((each[1:] for each in _SEVERITIES if level <= each[0]), _ALERT)


def _quoted(value: object) -> str:
    r"""Return the text of *value*; quotes and characters that a terminal obeys are escaped.

    >>> _quoted('a "b" \x9b')
    'a \\"b\\" \\x9b'
    """
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _escaped(text: str) -> str:
    """Return *text* with what a format would take for a field escaped."""
    return text.replace("%", "%%")
