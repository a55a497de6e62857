"""How a line of the log looks: for people, and for syslog in its dialects."""

import json
import logging
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, Self

from peerage.asab.log import LOG_NOTICE, STRUCT_DATA

if TYPE_CHECKING:
    from peerage.asab.config import Configuration

__all__ = ["StructuredFormatter", "syslog_formatter"]

#: Syslog's facility local0.
_FACILITY: Final = 16

#: Syslog's severity of a level and of those below it, and the colour it is shown in; beyond them, alert.
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
    """A formatter whose format may have ``%(struct_data)s`` and ``%(priority)s``, and whose dates ``%f``.

    Args:
        fmt: the format.
        datefmt: the date format.
        sd_id: stands in front of the data.
        no_data: what stands there if a record has none.
        zone: the time zone; None: the local one.
        colour: whether levels are shown in colours.
    """

    def __init__(
        self,
        fmt: str,
        datefmt: str | None,
        *,
        sd_id: str = "sd",
        no_data: str = "",
        zone: tzinfo | None = None,
        colour: bool = False,
    ) -> None:
        super().__init__(fmt, datefmt)
        self._format = fmt
        self._sd_id = sd_id
        self._no_data = no_data
        self._zone = zone
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
        moment = datetime.fromtimestamp(record.created, UTC).astimezone(self._zone)
        if datefmt is None:
            return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
        return moment.strftime(datefmt)

    def _render(self, data: Any) -> str:
        if data is None:
            return self._no_data
        pairs = (f'{key}="{value}"' for key, value in data.items())
        return f"[{self._sd_id} {' '.join(pairs)}] "


class _JsonFormatter(logging.Formatter):
    """Everything about a record, and who this is, as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        ids = {name.lower(): os.environ.get(name) for name in ("INSTANCE_ID", "SERVICE_ID", "NODE_ID")}
        known = {key: value for key, value in ids.items() if value is not None}
        fields = {**vars(record), **known, "hostname": socket.gethostname(), "message": record.getMessage()}
        if record.exc_info:
            fields["exc_text"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def syslog_formatter(config: "Configuration") -> logging.Formatter:
    """Return the formatter of ``[logging:syslog] format``.

    It is ``3`` (RFC 3164), ``m`` (likewise, as macOS has it), ``5`` (RFC 5424), ``5micro`` (likewise, to the
    microsecond), or ``json``.

    Raises:
        ValueError: it is something else.
    """
    name = config.get("logging:syslog", "format")
    make = _SYSLOG.get(name)
    if make is None:
        raise ValueError(f"[logging:syslog] format={name}: it must be one of {', '.join(_SYSLOG)}.")
    return make(config)


def _rfc3164(config: "Configuration", host: str) -> logging.Formatter:
    process = f"{_escaped(config.get('logging', 'app_name'))}[{os.getpid()}]:"
    return StructuredFormatter(
        f"<%(priority)s>%(asctime)s {host}{process}%(levelname)s %(name)s %(struct_data)s%(message)s\0",
        "%b %d %H:%M:%S",
        sd_id=config.get("logging", "sd_id"),
    )


def _rfc5424(config: "Configuration", datefmt: str) -> logging.Formatter:
    process = f"{_escaped(socket.gethostname())} {_escaped(config.get('logging', 'app_name'))} {os.getpid()}"
    return StructuredFormatter(
        f'<%(priority)s>1 %(asctime)sZ {process} %(name)s [log l="%(levelname)s"]%(struct_data)s%(message)s',
        datefmt,
        sd_id=config.get("logging", "sd_id"),
        no_data=" ",
        zone=UTC,
    )


_SYSLOG: Final[dict[str, Callable[["Configuration"], logging.Formatter]]] = {
    "3": lambda config: _rfc3164(config, f"{_escaped(socket.gethostname())} "),
    "m": lambda config: _rfc3164(config, ""),
    "5": lambda config: _rfc5424(config, "%Y-%m-%dT%H:%M:%S"),
    "5micro": lambda config: _rfc5424(config, "%Y-%m-%dT%H:%M:%S.%f"),
    "json": lambda _: _JsonFormatter(),
}


def _severity(level: int) -> tuple[int, int]:
    return next((each[1:] for each in _SEVERITIES if level <= each[0]), _ALERT)


def _escaped(text: str) -> str:
    """Return *text* as part of a format."""
    return text.replace("%", "%%")
