"""kazoo's connection thread: reports when a connection can be used and when the thread ends.

It also mends what kazoo's loop does badly for a service: how long it waits for dead servers, how it notices a
server that no longer answers, and what it does with errors that it doesn't know.
"""

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from kazoo import exceptions
from kazoo.protocol.connection import AUTH_XID, ConnectionHandler
from kazoo.protocol.serialization import Watch
from kazoo.retry import ForceRetryError

from peerage.backends.zookeeper.notes import Closed, NodeEvent
from peerage.records.addresses import authority

#: What a socket raises instead of waiting.
_NOT_READY: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

#: Bytes of a server's answer while the session is established: a few dozen, and a challenge of SASL.
_CONNECT_ANSWER_LIMIT: Final = 65_536


class ConnectionThread(ConnectionHandler):  # type: ignore[misc] # kazoo has no types
    """The thread of a client, which has the methods that are called here."""

    _last_answer = 0.0
    _waiting_since = 0.0
    _unsent_wakeups = 0
    _granted_timeout = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Addresses that didn't answer when they were tried last.
        self._failed: set[tuple[str, int]] = set()

    def wake(self) -> None:
        """Wake the thread for one more request, without waiting; call it with the client's lock held."""
        try:
            self._write_sock.send(b"\0", socket.MSG_DONTWAIT)
        except BlockingIOError:
            # It is awake, and has hundreds of other requests to send before this one.
            self._unsent_wakeups += 1

    def wake_up_sockets(self) -> Sequence[socket.socket | None]:
        """Return the two ends of the pipe that wakes the thread."""
        return self._read_sock, self._write_sock

    def zk_loop(self) -> None:
        """Serve one session after the other until the client is closed; this is what the thread runs."""
        try:
            while self.client.begin_next_session(self._serve_session()):
                pass
        finally:
            self.close()
            self.handler.end()
            self.client.report(Closed())

    def _serve_session(self) -> Exception | None:
        """Run kazoo's loop until the session is over or refused; return the error if it was unexpected."""
        try:
            super().zk_loop()
        except Exception as error:  # noqa: BLE001 - reported
            return error
        return None

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
        server = authority(hostip, port)
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
        with self._socket_error_handling(), contextlib.suppress(*_NOT_READY):
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
        error = header.err
        if error:
            self.client.forget_watch(self.client._pending[0][0])  # noqa: SLF001 - kazoo's
            if error not in exceptions.EXCEPTIONS:
                # kazoo would end the session for it.
                unknown = partial(exceptions.SystemZookeeperError, f"error number {error}")
                exceptions.EXCEPTIONS[error] = unknown
        answer = super()._read_response(header, buffer, offset)
        if error == exceptions.SessionClosedRequireSaslError.code:
            # The server closes the connection next; kazoo would connect again at once, and know no reason.
            raise exceptions.AuthFailedError("refused")
        return answer

    def _send_request(self, read_timeout: float, connect_timeout: float) -> None:
        # kazoo takes any request for a ping, but waits for the answers to pings only: a client that sends
        # requests all the time would never notice that the server is gone.
        now = time.monotonic()
        if not self.client._pending:  # noqa: SLF001 - kazoo's
            self._waiting_since = now
        elif now - max(self._waiting_since, self._last_answer) > read_timeout:
            raise exceptions.ConnectionDropped("no answer to requests")
        try:
            super()._send_request(read_timeout, connect_timeout)
        except (ValueError, TypeError, AttributeError, struct.error) as error:
            # The request can't be encoded. That must not end the connection, which others use as well.
            _, reply = self.client._queue.popleft()  # noqa: SLF001 - kazoo's
            reply.set_exception(error)
            self._read_sock.recv(1)
        if self._unsent_wakeups:
            with self.client.lock:
                self._unsent_wakeups -= 1
                self.wake()

    def _read_watch_event(self, buffer: bytes, offset: int) -> None:
        event, _ = Watch.deserialize(buffer, offset)
        self.client.report(NodeEvent(event.type, event.path))
        super()._read_watch_event(buffer, offset)
