"""The logger that kazoo's client is given."""

import logging
from collections.abc import Callable

__all__ = ["KazooLogger"]

log = logging.getLogger(__name__)


class KazooLogger:
    """Passes on why kazoo can't connect, and writes next to nothing.

    kazoo logs several lines for each attempt, at DEBUG with credentials. But its warnings are the only place
    where it says why it can't connect, so they are given to *report*.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def debug(self, *_: object, **__: object) -> None:
        """Write nothing."""

    info = log = debug

    def warning(self, message: str, *args: object) -> None:
        """Pass on why there is no connection."""
        text = message % args if args else message
        if text.startswith("Transition to"):
            return
        if text.startswith("AUTH_FAILED"):
            # The server itself often says nothing about it and closes the connection.
            text = "the server didn't accept the credentials, check user, password and auth="
        if "alert handshake failure" in text.lower():
            # A server that speaks TLS 1.2 says no more than this about a certificate that it misses.
            text = f"the server refused the TLS handshake, probably for want of a client certificate ({text})"
        self._report(
            text.replace("Connection dropped: socket connection error: ", "")
            .replace("Connection dropped: ", "")
            .removeprefix("Connection time-out: ")
        )

    warn = warning

    def exception(self, message: str, *_: object) -> None:
        """Write what kazoo itself didn't expect at DEBUG: the failure is reported elsewhere as well."""
        # Without the arguments: a request may hold a secret.
        log.debug("kazoo: %s", message.partition(":")[0], exc_info=True)  # noqa: LOG014 - called where kazoo handles one

    error = exception
