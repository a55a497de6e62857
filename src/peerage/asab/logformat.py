"""How a line of the log looks."""

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from peerage.asab.log import STRUCT_DATA

if TYPE_CHECKING:
    from peerage.asab.config import Configuration

__all__ = ["StructuredFormatter"]


class StructuredFormatter(logging.Formatter):
    """A formatter whose format may have ``%(struct_data)s``, and whose date format ``%f``.

    Args:
        fmt: the format.
        datefmt: the date format.
        sd_id: in front of the data.
    """

    def __init__(self, fmt: str, datefmt: str, *, sd_id: str = "sd") -> None:
        super().__init__(fmt, datefmt)
        self._sd_id = sd_id

    @classmethod
    def of(cls, config: "Configuration", section: str) -> Self:
        """Return the formatter that a section of the configuration describes."""
        return cls(
            config.get(section, "format"),
            config.get(section, "datefmt"),
            sd_id=config.get("logging", "sd_id"),
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of logging
        """Fill in the format."""
        return (self._fmt or "%(message)s") % {
            **vars(record),
            "struct_data": self._render(getattr(record, STRUCT_DATA, None)),
        }

    def formatTime(  # noqa: N802 - of logging
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the local time; microseconds included, which :mod:`logging` can't."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        return moment.strftime(datefmt or "%Y-%m-%d %H:%M:%S")

    def _render(self, data: Any) -> str:
        if data is None:
            return ""
        pairs = (f'{key}="{value}"' for key, value in data.items())
        return f"[{self._sd_id} {' '.join(pairs)}] "
