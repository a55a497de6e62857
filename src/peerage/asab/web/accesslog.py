"""One line in the log for each request."""

from typing import Final

import aiohttp.abc
from aiohttp import web

from peerage.asab.log import LOG_NOTICE, STRUCT_DATA

__all__ = ["ACCESS_LOG", "AccessLogger"]

#: Named as ASAB's, so that ``[logging] levels`` of programs find it.
ACCESS_LOG: Final = "asab.web.al"

#: Characters kept of what a proxy says about the client.
_LONGEST_FORWARDED: Final = 128


class AccessLogger(aiohttp.abc.AbstractAccessLogger):
    """Writes each request as structured data, under ASAB's names.

    ``I`` is who asked, ``al.m`` the method, ``al.p`` the path, ``al.c`` the status, ``D`` the seconds it
    took, ``al.B`` and ``al.b`` the sizes of request and response, ``al.A`` the client program, ``Ix`` who
    asked the proxy in front.
    """

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write one."""
        data = {
            "I": request.remote,
            "al.m": request.method,
            # Percent-encoded: a path with a line break in it would be two lines of the log.
            "al.p": request.rel_url.raw_path,
            "al.c": response.status,
            "D": f"{time:.6f}",
            "al.B": request.content_length,
            "al.b": response.content_length,
            "al.A": request.headers.get("User-Agent"),
            "Ix": request.headers.get("X-Forwarded-For", "")[:_LONGEST_FORWARDED] or None,
        }
        known = {key: value for key, value in data.items() if value is not None}
        # Not struct_data=: the logger may have been made before there were loggers that take it.
        self.logger.log(LOG_NOTICE, "", extra={STRUCT_DATA: known})

    @property
    def enabled(self) -> bool:
        """Whether anybody reads it."""
        return self.logger.isEnabledFor(LOG_NOTICE)
