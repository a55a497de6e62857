"""kazoo's client: for the registry narrowed to sending requests and reporting what happens.

kazoo's connection thread does the talking; everything it reports goes through one callable, which must not
wait. Nothing here makes the registry wait either: a request is put in kazoo's queue only while the connection
that the registry means is up. Otherwise kazoo would keep it and carry it out after a reconnect, or block.

Other parts of the program may use kazoo's own methods, on any thread. Their requests wait in the same queue;
as in kazoo, they wait there while there is no connection. The client belongs to the registry: stop() ends the
session, and another session begins.

Private names of kazoo are relied on; tests/backends/zookeeper/test_kazoo_names.py lists and checks them.
"""

import contextlib
import logging
import os
import ssl
import threading
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
from peerage.backends.zookeeper.handler import Handler
from peerage.backends.zookeeper.kazoothread import ConnectionThread
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.notes import (
    Connected,
    ConnectFailed,
    Disconnected,
    Note,
    Request,
    SessionEnded,
)
from peerage.backends.zookeeper.requests import AddWatch

__all__ = ["Client", "KazooClient", "NoNodeError", "NodeExistsError", "ZnodeStat"]

log = logging.getLogger(__name__)

#: kazoo's own back-off grows to an hour; a service must be back within a second of its server.
_RETRY: Final = {"max_tries": -1, "delay": 0.05, "backoff": 2, "max_delay": 0.4}

#: The numbers of kazoo's requests exists and get.
_WATCHES_ONE_NODE: Final = (3, 4)

#: Seconds that stop() waits for the end of a session.
_STOP_TIMEOUT: Final = 10.0

#: The error of a request that is made in one of these states of the client.
_REFUSALS: Final = {
    KeeperState.CLOSED: exceptions.ConnectionClosedError,
    KeeperState.AUTH_FAILED: exceptions.AuthFailedError,
    KeeperState.EXPIRED_SESSION: exceptions.SessionExpiredError,
}


class Client(KazooClient):  # type: ignore[misc] # kazoo has no types
    """One session after the other, on one thread, until closed. Every access to the queue holds the lock.

    *report* is called with each Note, on kazoo's thread, in the order of what happened, and must not wait.
    *pause* returns the seconds to wait after a server has refused the client.
    """

    def __init__(
        self,
        location: Location,
        context: ssl.SSLContext | None,
        report: Callable[[Note], None],
        pause: Callable[[], float],
    ) -> None:
        self.report = report
        self._pause = pause
        self.up: int | None = None
        self.connections = 0
        self._reason = ""
        self.lock = threading.Lock()
        # Set when the session begins that follows one ended by stop(); None while none was.
        self._next_session: threading.Event | None = None
        # The path that the registry's recursive watch is set on.
        self._watched_root: str | None = None
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
        if reason != self._reason:
            self._reason = reason
            self.report(ConnectFailed(reason))

    # From the first session to the last

    @property
    def thread(self) -> threading.Thread | None:
        """The thread of the connection; None before it was started."""
        thread: threading.Thread | None = self._connection._connection_routine  # noqa: SLF001 - kazoo's
        return thread

    def begin(self) -> None:
        """Begin to connect; returns at once. May be called again after an error.

        Raises:
            OSError: there is no descriptor for it.
            RuntimeError: there is no thread for it.
        """
        _clients.add(self)
        # Not CLOSED any more: requests of others wait for the connection from now on.
        self._state = KeeperState.CONNECTING
        try:
            super().start_async()
        except (OSError, RuntimeError):
            self._state = KeeperState.CLOSED
            raise

    def begin_to_close(self) -> None:
        """End the session for good; returns at once."""
        self.handler.over.set()
        self._end_session()

    def discard(self) -> None:
        """End a client that was never started, or couldn't be."""
        self.handler.end()
        self.close_descriptors()

    def abort(self) -> None:
        """Cut the connection; the server ends the session when that times out."""
        self._stopped.set()
        self.dialer.hang_up()

    def hang_up(self) -> None:
        """Cut the connection; another one follows."""
        self.dialer.hang_up()

    def _end_session(self) -> None:
        with self.lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
            if self.up is not None:
                self._queue.append((CloseInstance, None))
                self._connection.wake()
                return
        self.dialer.hang_up()

    def begin_next_session(self, error: Exception | None) -> bool:
        """Say whether another session follows the one that is over, perhaps by an unexpected *error*.

        Called on kazoo's thread. Waits, unless that session was ended by stop().
        """
        if self._next_session is None:
            reason = self._reason if error is None else f"{type(error).__name__}: {error}"
            self.report(SessionEnded(reason or "closed", error))
            self.handler.over.wait(self._pause())
        with self.lock:
            begins, self._next_session = self._next_session, None
            closed: bool = self.handler.over.is_set()
            if not closed:
                self._stopped.clear()
                self._state = KeeperState.CONNECTING
        if begins is not None:
            begins.set()
        return not closed

    def close_descriptors(self) -> None:
        """Close the sockets, without a word to the server; for a forked child as well."""
        for sock in (self.dialer.socket, *self._connection.wake_up_sockets()):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.close()

    # For the registry

    def submit(self, request: Request) -> bool:
        """Send *request* over its connection; False if that is lost. Once answered, it is reported."""
        with self.lock:
            if self.up != request.connection:
                return False
            if isinstance(request.body, AddWatch):
                self._watched_root = request.body.path
            self._queue.append((request.body, request))
            self._connection.wake()
            return True

    # For kazoo's thread

    def forget_watch(self, request: object) -> None:
        """Take note of a request that the server refused."""
        if isinstance(request, AddWatch):
            with self.lock:
                self._watched_root = None

    def connection_established(self, host: str, server: str, session_timeout: float) -> None:
        """Report a connection that can be used."""
        with self.lock:
            # Nothing of ours can have been put in the queue since the last connection was lost.
            self.connections += 1
            self.up = self.connections
            self._reason = ""
        self.dialer.reset_patience()
        self.report(Connected(self.connections, self._session_id, session_timeout, server, host))

    def _session_callback(self, state: Any) -> None:
        with self.lock:
            was_up = self.up is not None
            if state not in {KeeperState.CONNECTED, KeeperState.CONNECTED_RO}:
                self.up = self._watched_root = None
        if was_up and self.up is None:
            # Before kazoo fails the requests under way, so that the reason is known when they fail.
            self.report(Disconnected(self._reason or "the connection was lost"))
        super()._session_callback(state)

    def _reset(self) -> None:
        with self.lock:
            left = getattr(self, "_queue", ())
            super()._reset()
        for _, reply in left:
            # Queued after kazoo had emptied the queue, so kazoo doesn't answer it.
            if reply is not None:
                reply.set_exception(exceptions.SessionExpiredError())

    # For others

    def stop(self) -> None:
        """End the session, and with it everything ephemeral; another session begins."""
        with self.lock:
            if self._stopped.is_set() or self.handler.over.is_set() or self.thread is None:
                return
            self._next_session = begins = threading.Event()
        self._end_session()
        if threading.current_thread() is not self.thread:
            begins.wait(_STOP_TIMEOUT)

    def start(self, timeout: float = 15) -> None:
        """Wait until there is a connection.

        Raises:
            kazoo.handlers.threading.KazooTimeoutError: there was none in time.
        """
        if not self.start_async().wait(timeout):
            raise self.handler.timeout_exception("Connection time-out")

    def start_async(self) -> Any:
        """Return the event that is set while connected; the registry has begun to connect."""
        return self._live

    def close(self) -> None:
        """Do nothing: it is closed with the registry."""

    def _call(self, request: Any, reply: Any) -> bool | None:
        """Queue a request of others; kazoo's own methods call this."""
        with self.lock:
            refusal = _REFUSALS.get(self._state)
            if refusal is None:
                self._queue.append((self._without_second_watch(request), reply))
                self._connection.wake()
                return None
        reply.set_exception(refusal("The client is closed" if self._state == KeeperState.CLOSED else ""))
        return False

    def _without_second_watch(self, request: Any) -> Any:
        """Return *request*, without a watch that would replace the registry's.

        Before 3.9 a server keeps one watch of each connection on a node, the last one (ZOOKEEPER-4466). The
        recursive watch brings the same events.
        """
        if request.type in _WATCHES_ONE_NODE and request.watcher and request.path == self._watched_root:
            return _WithoutWatch(request)
        return request


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


class _WithoutWatch:
    """A request whose watch isn't sent. kazoo calls its watcher with the events of the recursive watch."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self.type: int = request.type
        self.path: str = request.path
        self.watcher = request.watcher

    def serialize(self) -> bytes:
        return bytes(self._request._replace(watcher=None).serialize())

    def deserialize(self, buffer: bytes, offset: int) -> Any:
        return self._request.deserialize(buffer, offset)


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
