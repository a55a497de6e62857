"""The access log: one line for each request."""

from typing import Final

import aiohttp.abc
from aiohttp import web

from peerage.asab.log import LOG_NOTICE, STRUCT_DATA

#: The name is ASAB's, for ``[logging] levels`` of programs.
ACCESS_LOG: Final = "asab.web.al"

#: Characters kept of the header X-Forwarded-For.
_LONGEST_FORWARDED: Final = 128


class AccessLogger(aiohttp.abc.AbstractAccessLogger):
    """Writes each request as structured data, under ASAB's names.

    ``I`` is the client's address, ``al.m`` the method, ``al.p`` the path, ``al.c`` the status, ``D`` the
    duration in seconds, ``al.B`` and ``al.b`` the sizes of request and response, ``al.A`` the header
    User-Agent, ``Ix`` the header X-Forwarded-For.
    """

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line of one request."""
        data = {
            "I": request.remote,
            "al.m": request.method,
            # Percent-encoded, because a path may have line breaks.
            "al.p": request.rel_url.raw_path,
            "al.c": response.status,
            "D": f"{time:.6f}",
            "al.B": request.content_length,
            "al.b": response.content_length,
            "al.A": request.headers.get("User-Agent"),
            "Ix": request.headers.get("X-Forwarded-For", "")[:_LONGEST_FORWARDED] or None,
        }
        known = {key: value for key, value in data.items() if value is not None}
        # Not struct_data=: the logger may be older than the logger class that takes it.
        self.logger.log(LOG_NOTICE, "", extra={STRUCT_DATA: known})

    @property
    def enabled(self) -> bool:
        """Whether the log shows it."""
        return self.logger.isEnabledFor(LOG_NOTICE)
