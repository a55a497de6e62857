"""kazoo's client, narrowed to sending requests and reporting what happens.

kazoo's connection thread does the talking; everything it reports goes through one callable, which must not
wait. Nothing here makes the caller wait either: a request is put in kazoo's queue only while the connection
that the caller means is up. Otherwise kazoo would keep it and carry it out after a reconnect, or block.

Private names of kazoo are relied on; tests/backends/zookeeper/test_kazoo_names.py lists and checks them.
"""

import contextlib
import logging
import os
import ssl
import weakref
from collections.abc import Callable
from typing import Any, Final

from kazoo import exceptions
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.protocol.serialization import CloseInstance
from kazoo.protocol.states import KeeperState, ZnodeStat
from kazoo.security import CREATOR_ALL_ACL

from peerage.backends.zookeeper.dialing import Dialer
from peerage.backends.zookeeper.failures import Failure, named
from peerage.backends.zookeeper.handler import Handler
from peerage.backends.zookeeper.kazoothread import ConnectionThread
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.notes import Connected, ConnectFailed, Disconnected, Note, Replied
from peerage.backends.zookeeper.sharing import Sharing

__all__ = ["Client", "KazooClient", "NoNodeError", "NodeExistsError", "ZnodeStat"]

log = logging.getLogger(__name__)

#: kazoo's own back-off grows to an hour; a service must be back within a second of its server.
_RETRY: Final = {"max_tries": -1, "delay": 0.05, "backoff": 2, "max_delay": 0.4}


class Client(Sharing):
    """kazoo's client, from its start to its end.

    Args:
        location: the servers and the credentials.
        context: for TLS.
        report: called with each Note, on kazoo's thread, in the order of what happened; must not wait.
    """

    def __init__(
        self, location: Location, context: ssl.SSLContext | None, report: Callable[[Note], None]
    ) -> None:
        self.report = report
        self.up: int | None = None
        self.connections = 0
        self.reason = ""
        self.dialer = Dialer(context, lambda: bool(self._stopped.is_set()))
        digest, sasl = _authentication(location)
        handler = Handler(self.dialer)
        super().__init__(
            hosts=location.hosts,
            timeout=location.session_timeout,
            handler=handler,
            default_acl=CREATOR_ALL_ACL if location.acl == "creator" else None,
            auth_data=digest,
            connection_retry={**_RETRY, "sleep_func": handler.sleep_func},
            logger=_KazooLogger(self._connect_failed),
            use_ssl=context is not None,
        )
        # Of our class, in place of the one that the base class made.
        self._connection = ConnectionThread(
            self, self._conn_retry.copy(), logger=self.logger, sasl_options=sasl
        )

    def _connect_failed(self, reason: str) -> None:
        """Report why there is no connection: kazoo says so in its log only."""
        if reason != self.reason:
            self.reason = reason
            self.report(ConnectFailed(reason))

    def begin(self) -> None:
        """Begin to connect; returns at once.

        Raises:
            OSError: there is no descriptor for it.
            RuntimeError: there is no thread for it.
        """
        _clients.add(self)
        super().begin()

    def share(self) -> KazooClient:
        """Return the client for the requests and watches of others, on any thread."""
        self.handler.callbacks.begin()
        return self

    def discard(self) -> None:
        """End a client that was never started, or couldn't be."""
        self.handler.callbacks.end()
        self.close_descriptors()

    def abort(self) -> None:
        """Cut the connection; the server ends the session when that times out."""
        self.stop_trying()
        self.dialer.hang_up()

    def submit(self, request: Any, number: int, ticket: Any) -> bool:
        """Send *request* over connection *number*; False if that is lost. The answer is a Replied."""
        with self.lock:
            if self.up != number:
                return False
            self.note_watch(request)
            self._queue.append((request, _Reply(ticket, self.report)))
            self._connection.wake()
            return True

    @property
    def awaits_answer(self) -> bool:
        """Whether a request was sent that isn't answered yet."""
        return bool(self._pending)

    def refuse_next(self, error: Exception) -> None:
        """Answer the next request in place of the server."""
        _, reply = self._queue.popleft()
        reply.set_exception(error)

    def end_session(self) -> None:
        """End the session, once; returns at once."""
        with self.lock:
            if self._stopped.is_set():
                return
            self.stop_trying()
            if self.up is not None:
                self._queue.append((CloseInstance, None))
                self._connection.wake()
                return
        self.dialer.hang_up()

    def stop_trying(self) -> None:
        """Make no further attempt to connect."""
        self._stopped.set()

    def connection_established(self, host: str, server: str, session_timeout: float) -> None:
        """Report a connection that can be used; called on kazoo's thread."""
        with self.lock:
            # Nothing of ours can have been put in the queue since the last connection was lost.
            self.connections += 1
            self.up = self.connections
            self.reason = ""
        self.dialer.reset_patience()
        self.report(Connected(self.connections, self._session_id, session_timeout, server, host))

    def _session_callback(self, state: Any) -> None:
        with self.lock:
            was_up = self.up is not None
            if state not in {KeeperState.CONNECTED, KeeperState.CONNECTED_RO}:
                self.up = self.watched_root = None
        if was_up and self.up is None:
            # Before kazoo fails the requests under way, so that the reason is known when they fail.
            self.report(Disconnected(self.reason or "the connection was lost"))
        super()._session_callback(state)

    def close_descriptors(self) -> None:
        """Close the sockets, without a word to the server; for a forked child as well."""
        for sock in (self.dialer.socket, *self._connection.wake_up_sockets()):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.close()


class _KazooLogger:
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


class _Reply:
    """Receives the answer from kazoo, on its thread."""

    __slots__ = ("_report", "_ticket")

    def __init__(self, ticket: Any, report: Callable[[Note], None]) -> None:
        self._ticket = ticket
        self._report = report

    def set(self, value: Any = None) -> None:
        self._report(Replied(self._ticket, value, None))

    def set_exception(self, error: BaseException) -> None:
        name = type(error).__name__.removesuffix("Error")
        known = isinstance(error, exceptions.KazooException) and not isinstance(
            error, exceptions.SystemZookeeperError
        )
        self._report(Replied(self._ticket, None, named(name) if known else Failure(f"{name}: {error}")))


def _authentication(location: Location) -> tuple[list[tuple[str, str]] | None, dict[str, str] | None]:
    """Return kazoo's ``auth_data`` and ``sasl_options``, of which one at most is given."""
    credentials = location.credentials
    if credentials is None:
        return None, None
    if credentials.mechanism == "digest":
        return [("digest", f"{credentials.user}:{credentials.password}")], None
    return None, {"mechanism": "DIGEST-MD5", "username": credentials.user, "password": credentials.password}


# A forked child shares the sockets but has none of the threads: it must neither write nor keep them open.
_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()


def _close_all_descriptors() -> None:
    for client in tuple(_clients):
        client.close_descriptors()


os.register_at_fork(after_in_child=_close_all_descriptors)
