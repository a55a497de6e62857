"""kazoo's client, narrowed to sending requests and reporting what happens.

kazoo's connection thread does the talking; everything it reports goes through one callable, which must not
wait. Nothing here makes the caller wait either: a request is put in kazoo's queue only while the connection
that the caller means is up. Otherwise kazoo would keep it and carry it out after a reconnect, or block.

Private names of kazoo are relied on; tests/backends/zookeeper/test_kazoo_names.py lists and checks them.
"""

import contextlib
import os
import socket
import ssl
import struct
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final

from kazoo import exceptions
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.protocol.connection import AUTH_XID, ConnectionHandler
from kazoo.protocol.serialization import CloseInstance, Create, Delete, GetACL, SetACL, SetData, Sync, Watch
from kazoo.protocol.states import KeeperState, ZnodeStat
from kazoo.retry import ForceRetryError
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from peerage.backends.zookeeper.dialing import Dialer
from peerage.backends.zookeeper.failures import Failure, named
from peerage.backends.zookeeper.handler import Handler
from peerage.backends.zookeeper.kazoolog import KazooLogger
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.notes import (
    Connected,
    ConnectFailed,
    Disconnected,
    Ended,
    NodeEvent,
    Note,
    Replied,
)
from peerage.backends.zookeeper.polling import NOT_READY
from peerage.backends.zookeeper.sharing import Sharing

__all__ = [
    "ACL",
    "CREATOR_ALL_ACL",
    "OPEN_ACL_UNSAFE",
    "Create",
    "Delete",
    "GetACL",
    "KazooClient",
    "NoNodeError",
    "NodeExistsError",
    "Session",
    "SetACL",
    "SetData",
    "Sync",
    "ZnodeStat",
]

#: kazoo's own back-off grows to an hour; a service must be back within a second of its server.
_RETRY: Final = {"max_tries": -1, "delay": 0.05, "backoff": 2, "max_delay": 0.4}

#: Bytes of a server's answer while the session is established: a few dozen, and a challenge of SASL.
_CONNECT_ANSWER_LIMIT: Final = 65_536


class Session:
    """One client of kazoo from its start to its end.

    Args:
        location: the servers and the credentials.
        context: for TLS.
        report: called with each Note, on kazoo's thread, in the order of what happened; must not wait.
    """

    def __init__(
        self, location: Location, context: ssl.SSLContext | None, report: Callable[[Note], None]
    ) -> None:
        self._client = _Client(location, context, report)

    def start(self) -> None:
        """Begin to connect; returns at once.

        Raises:
            OSError: there is no descriptor for it.
            RuntimeError: there is no thread for it.
        """
        _sessions.add(self)
        self._client.begin()

    def submit(self, request: Any, number: int, ticket: Any) -> bool:
        """Send *request* over connection *number*; False if that is lost. The answer is a Replied."""
        return self._client.submit(request, number, ticket)

    def share(self) -> KazooClient:
        """Return the client itself, for the requests and watches of others, on any thread."""
        self._client.handler.callbacks.begin()
        return self._client

    def discard(self) -> None:
        """End a client that was never started, or couldn't be."""
        self._client.handler.callbacks.end()
        self._client.close_descriptors()

    def close(self) -> None:
        """Begin to end the session; Ended follows. Returns at once."""
        self._client.begin_to_close()

    def abort(self) -> None:
        """Cut the connection; the server ends the session when that times out."""
        self._client.stop_trying()
        self._client.dialer.hang_up()

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread, which has reported Ended."""
        self._client.thread.join(timeout)

    def close_descriptors(self) -> None:
        """Close the descriptors in a forked child, without a word to the server."""
        self._client.close_descriptors()


class _Client(Sharing, KazooClient):  # type: ignore[misc] # kazoo has no types
    """kazoo's client, which reports each Note to *report*."""

    refusals = {  # noqa: RUF012 - typed where it is declared
        KeeperState.CLOSED: exceptions.ConnectionClosedError,
        KeeperState.AUTH_FAILED: exceptions.AuthFailedError,
        KeeperState.EXPIRED_SESSION: exceptions.SessionExpiredError,
    }
    session_ended = exceptions.SessionExpiredError

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
            logger=KazooLogger(self._connect_failed),
            use_ssl=context is not None,
        )
        # Of our class, in place of the one that the base class made.
        self._connection = _Connection(self, self._conn_retry.copy(), logger=self.logger, sasl_options=sasl)

    def _connect_failed(self, reason: str) -> None:
        """Report why there is no connection: kazoo says so in its log only."""
        if reason != self.reason:
            self.reason = reason
            self.report(ConnectFailed(reason))

    def submit(self, request: Any, number: int, ticket: Any) -> bool:
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
        for sock in (self.dialer.socket, *self._connection.wake_up_sockets()):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.close()


class _Connection(ConnectionHandler):  # type: ignore[misc] # kazoo has no types
    """kazoo's thread; reports when a connection can be used and when the thread ends."""

    thread: threading.Thread
    _last_answer = 0.0
    _waiting_since = 0.0
    _unsent_wakeups = 0
    _granted_timeout = 0.0

    def start(self) -> None:
        # Addresses that didn't answer when they were tried last.
        self._failed: set[tuple[str, int]] = set()
        super().start()
        self.thread = self._connection_routine

    def wake(self) -> None:
        """Wake the thread for one more request, without waiting; call it with the client's lock held."""
        try:
            self._write_sock.send(b"\0", socket.MSG_DONTWAIT)
        except BlockingIOError:
            # It is awake, and has hundreds of other requests to send before this one.
            self._unsent_wakeups += 1

    def _send_unsent_wakeup(self) -> None:
        if self._unsent_wakeups:
            with self.client.lock:
                self._unsent_wakeups -= 1
                self.wake()

    def wake_up_sockets(self) -> Sequence[socket.socket | None]:
        return self._read_sock, self._write_sock

    def zk_loop(self) -> None:
        unexpected: Exception | None = None
        try:
            self._serve_session()
            while self.client.begin_next_session():
                self._serve_session()
        except Exception as error:  # noqa: BLE001 - reported
            unexpected = error
        finally:
            self.connection_stopped.set()
            self.close()
            self.handler.callbacks.end()
            reason = (
                self.client.reason if unexpected is None else f"{type(unexpected).__name__}: {unexpected}"
            )
            self.client.report(Ended(reason or "closed", unexpected))

    def _serve_session(self) -> None:
        """Run kazoo's loop until the client is stopped or refused."""
        with contextlib.suppress(InterruptedError):  # it was stopped between two attempts
            super().zk_loop()

    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]:
        handler = self.client.handler
        handler.connecting = True
        if time.monotonic() - self._last_answer > self._granted_timeout:
            # The session is over. A server that has lost its data would refuse for ever a client that has
            # seen later transactions.
            self.client.last_zxid = 0
        self._failed.add((hostip, port))
        try:
            timeouts: tuple[float, float] = super()._connect(host, hostip, port)
        except handler.timeout_exception:
            self.client.dialer.extend_patience()
            raise handler.timeout_exception("it takes connections but doesn't answer") from None
        except exceptions.SessionExpiredError:
            self._failed.discard((hostip, port))  # an answer
            raise
        except exceptions.SessionClosedRequireSaslError as error:
            # A server that requires SASL refuses a password so, and kazoo's loop doesn't know it.
            raise exceptions.AuthFailedError("refused") from error
        finally:
            handler.connecting = False
        self._failed.discard((hostip, port))
        self._last_answer, self._granted_timeout = time.monotonic(), timeouts[0] * 1.5 / 1000
        # Later than kazoo reports it, which is before it has authenticated.
        server = f"[{hostip}]:{port}" if ":" in hostip else f"{hostip}:{port}"
        self.client.connection_established(host, server, self._granted_timeout)
        return timeouts

    def _connect_attempt(self, host: str, hostip: str, port: int, retry: Any) -> object:
        status: object = super()._connect_attempt(host, hostip, port, retry)
        if status is None and (hostip, port) not in self._failed:
            # It answered and was lost. The rest of the list may be dead, so begin with the whole list again.
            raise ForceRetryError("Reconnecting")
        return status

    def _expand_client_hosts(self) -> list[tuple[str, str, int]]:
        # Those that failed come last: waiting for a dead machine uses up the time that the session has.
        return sorted(super()._expand_client_hosts(), key=lambda server: server[1:] in self._failed)

    def _read(self, length: int, timeout: float | None) -> bytes:
        if self.handler.connecting and not 0 <= length <= _CONNECT_ANSWER_LIMIT:
            # The first bytes of another protocol, taken for a length.
            raise exceptions.ConnectionDropped("what answers isn't ZooKeeper, or TLS where none is spoken")
        part = self._without_waiting(self._socket.recv, length)
        if part == b"" and length:
            raise exceptions.ConnectionDropped("socket connection broken")
        part = part or b""
        return part if len(part) == length else part + super()._read(length - len(part), timeout)

    def _write(self, msg: bytes, timeout: float | None) -> None:
        sent: int = self._without_waiting(self._socket.send, msg) or 0
        if sent < len(msg):
            super()._write(msg[sent:], timeout)

    def _without_waiting(self, call: Callable[[Any], Any], argument: object) -> Any:
        """Do first what kazoo would wait for: nearly always the socket is ready. None if it isn't."""
        with self._socket_error_handling(), contextlib.suppress(*NOT_READY):
            return call(argument)
        return None

    def _read_socket(self, read_timeout: float) -> Any:
        self._last_answer = time.monotonic()
        return super()._read_socket(read_timeout)

    def _read_header(self, timeout: float | None) -> Any:
        answer = super()._read_header(timeout)
        if answer[0].xid == AUTH_XID:
            # The server answers this at once, before earlier requests; kazoo takes it for the answer to
            # those.
            pending = self.client._pending  # noqa: SLF001 - kazoo's
            for request in [each for each in pending if each[2] == AUTH_XID][:1]:
                pending.remove(request)
                pending.appendleft(request)
        return answer

    def _read_response(self, header: Any, buffer: bytes, offset: int) -> Any:
        pending = self.client._pending  # noqa: SLF001 - kazoo's
        error = header.err
        if error:
            self.client.forget_watch(pending[0][0])
            if error not in exceptions.EXCEPTIONS:
                # kazoo would end the session for it.
                request, reply, xid = pending[0]
                pending[0] = (request, reply and _UnknownError(reply, error), xid)
                header = header._replace(err=exceptions.SystemZookeeperError.code)
        answer = super()._read_response(header, buffer, offset)
        if error == exceptions.SessionClosedRequireSaslError.code:
            # The server closes the connection next; kazoo would connect again at once, and know no reason.
            raise exceptions.AuthFailedError("refused")
        return answer

    def _send_request(self, read_timeout: float, connect_timeout: float) -> None:
        # kazoo takes any request for a ping, but waits for the answers to pings only: a client that sends
        # requests all the time would never notice that the server is gone.
        now = time.monotonic()
        if not self.client.awaits_answer:
            self._waiting_since = now
        elif now - max(self._waiting_since, self._last_answer) > read_timeout:
            raise exceptions.ConnectionDropped("no answer to requests")
        try:
            super()._send_request(read_timeout, connect_timeout)
        except (ValueError, TypeError, AttributeError, struct.error) as error:
            # The request can't be encoded. That must not end the connection, which others use as well.
            self.client.refuse_next(error)
            self._read_sock.recv(1)
        self._send_unsent_wakeup()

    def _read_watch_event(self, buffer: bytes, offset: int) -> None:
        event, _ = Watch.deserialize(buffer, offset)
        self.client.report(NodeEvent(event.type, event.path))
        if self.handler.callbacks.begun:
            super()._read_watch_event(buffer, offset)


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


class _UnknownError:
    """Receives the exception that kazoo chooses for an unknown error number, and passes on the number."""

    __slots__ = ("_number", "_reply")

    def __init__(self, reply: Any, number: int) -> None:
        self._reply = reply
        self._number = number

    def set_exception(self, _: BaseException) -> None:
        self._reply.set_exception(exceptions.SystemZookeeperError(f"error number {self._number}"))


def _authentication(location: Location) -> tuple[list[tuple[str, str]] | None, dict[str, str] | None]:
    """Return kazoo's ``auth_data`` and ``sasl_options``, of which one at most is given."""
    credentials = location.credentials
    if credentials is None:
        return None, None
    if credentials.mechanism == "digest":
        return [("digest", f"{credentials.user}:{credentials.password}")], None
    return None, {"mechanism": "DIGEST-MD5", "username": credentials.user, "password": credentials.password}


# A forked child shares the sockets but has none of the threads: it must neither write nor keep them open.
_sessions: "weakref.WeakSet[Session]" = weakref.WeakSet()


def _close_all_descriptors() -> None:
    for session in tuple(_sessions):
        session.close_descriptors()


os.register_at_fork(after_in_child=_close_all_descriptors)
