"""What stands in the place of kazoo's logger."""

import logging
from collections.abc import Callable

__all__ = ["Listener"]

log = logging.getLogger(__name__)


class Listener:
    """In the place of a logger: kazoo writes several lines an attempt, credentials among them at DEBUG.

    Its warnings are the only place where it says why it can't connect, so they are heard, not written.
    """

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear

    def debug(self, *_: object, **__: object) -> None:
        """Say nothing."""

    info = log = debug

    def warning(self, message: str, *args: object) -> None:
        """Hand on why it doesn't go on."""
        text = message % args if args else message
        if text.startswith("Transition to"):
            return
        if text.startswith("AUTH_FAILED"):
            # What the server says to it is often nothing: it closes the connection.
            text = "the server didn't accept the credentials, check user, password and auth="
        if "alert handshake failure" in text.lower():
            # A server that speaks TLS 1.2 says no more than this about a certificate that it misses.
            text = f"the server refused the TLS handshake, probably for want of a client certificate ({text})"
        self._hear(
            text.replace("Connection dropped: socket connection error: ", "")
            .replace("Connection dropped: ", "")
            .removeprefix("Connection time-out: ")
        )

    warn = warning

    def exception(self, message: str, *_: object) -> None:
        """Note what kazoo itself didn't expect, for those who look into it; it comes up again elsewhere."""
        # Not the arguments: a request may hold a secret.
        log.debug("kazoo: %s", message.partition(":")[0], exc_info=True)  # noqa: LOG014 - called where kazoo handles one

    error = exception
