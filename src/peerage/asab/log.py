"""Loggers that take ``struct_data=``, and the level NOTICE.

Importing :mod:`peerage.asab` changes the class of all loggers created afterwards, so write it above
``L = logging.getLogger(__name__)``, as with ASAB.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any, Final

LOG_NOTICE: Final = 25
"""Between INFO and WARNING; shown by default."""

#: The attribute of a record that has the data; the name is ASAB's, for formatters of programs.
STRUCT_DATA: Final = "_struct_data"


class StructuredLogger(logging.Logger):
    """A logger whose methods take ``struct_data={"key": value}``, shown as ``[sd key="value"]``."""

    def _log(  # noqa: PLR0917 - as in logging
        self,
        level: int,
        msg: object,
        args: Any,
        exc_info: Any = None,
        extra: Mapping[str, object] | None = None,
        stack_info: bool = False,  # noqa: FBT001, FBT002 - as in logging
        stacklevel: int = 1,
        struct_data: Mapping[str, object] | None = None,
    ) -> None:
        if struct_data is not None:
            extra = {**(extra or {}), STRUCT_DATA: struct_data}
        # This function is one more frame between the caller and logging.
        super()._log(level, msg, args, exc_info, extra, stack_info, stacklevel + 1)


def install() -> None:
    """Make loggers created from now on take ``struct_data=``.

    If the real asab is loaded, its loggers take it already. A logger class that the program has set stays the
    base class.
    """
    logging.addLevelName(LOG_NOTICE, "NOTICE")
    there = logging.getLoggerClass()
    if "asab" in sys.modules or issubclass(there, StructuredLogger):
        return
    own = there is not logging.Logger
    logging.setLoggerClass(type(there.__name__, (StructuredLogger, there), {}) if own else StructuredLogger)
