"""The one file that knows kazoo: its client, narrowed to sending requests and telling what happens.

kazoo's connection thread does the talking; everything it has to say goes through one callable, which must not
wait. Nothing here waits on the caller's side: a request is put in kazoo's queue only while the connection
that the caller means is up. Otherwise kazoo would keep it, carry it out after a reconnect, or block.
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
from peerage.backends.zookeeper.kazoolog import Listener
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.notes import Down, Ended, Happened, Note, Replied, Trouble, Up
from peerage.backends.zookeeper.polling import NOT_NOW
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

#: Bytes of a server's answer while it is greeted: a few dozen, and a challenge of SASL.
_GREETING_LIMIT: Final = 65_536


class Session:
    """One kazoo client from its start to its end.

    Args:
        location: where, and as whom.
        context: for TLS.
        tell: called with each Note, from kazoo's thread, in the order of what happened; must not wait.
    """

    def __init__(
        self, location: Location, context: ssl.SSLContext | None, tell: Callable[[Note], None]
    ) -> None:
        self._client = _Client(location, context, tell)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        _sessions.add(self)
        self._client.begin()

    def submit(self, request: Any, epoch: int, ticket: Any) -> bool:
        """Send *request* over connection *epoch*; False if that isn't up any more. The answer is Replied."""
        return self._client.submit(request, epoch, ticket)

    def share(self) -> KazooClient:
        """Return the client itself, for requests and watches of others, from any thread."""
        self._client.handler.callbacks.begin()
        return self._client

    def discard(self) -> None:
        """End what was never started."""
        self._client.handler.callbacks.end()

    def close(self) -> None:
        """Begin to end the session; Ended follows. Returns at once."""
        self._client.begin_to_close()

    def abort(self) -> None:
        """End the connection as it is; the server sees the session to its end."""
        self._client.stop_trying()
        self._client.dialer.hang_up()

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread, which has said Ended."""
        self._client.thread.join(timeout)

    def forget(self) -> None:
        """Close the descriptors in a forked child, without a word to the server."""
        self._client.forget()


class _Client(Sharing, KazooClient):  # type: ignore[misc] # kazoo has no types
    """kazoo's client, reporting to *tell*."""

    gone = {  # noqa: RUF012 - typed where it is declared
        KeeperState.CLOSED: exceptions.ConnectionClosedError,
        KeeperState.AUTH_FAILED: exceptions.AuthFailedError,
        KeeperState.EXPIRED_SESSION: exceptions.SessionExpiredError,
    }
    ended = exceptions.SessionExpiredError

    def __init__(
        self, location: Location, context: ssl.SSLContext | None, tell: Callable[[Note], None]
    ) -> None:
        self.tell = tell
        self.up: int | None = None
        self.epochs = 0
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
            logger=Listener(self._complain),
            use_ssl=context is not None,
        )
        # Of our own kind, in the place of the one that the base class made.
        self._connection = _Connection(self, self._conn_retry.copy(), logger=self.logger, sasl_options=sasl)

    def _complain(self, reason: str) -> None:
        """Take note of why it doesn't go on: kazoo says so in its log only."""
        if reason != self.reason:
            self.reason = reason
            self.tell(Trouble(reason))

    def submit(self, request: Any, epoch: int, ticket: Any) -> bool:
        with self.gate:
            if self.up != epoch:
                return False
            self.cover(request)
            self._queue.append((request, _Reply(ticket, self.tell)))
            self._connection.poke()
            return True

    @property
    def asked(self) -> bool:
        """Whether an answer is due."""
        return bool(self._pending)

    def refuse_next(self, error: Exception) -> None:
        """Answer the next request in the server's place."""
        _, reply = self._queue.popleft()
        reply.set_exception(error)

    def end_session(self) -> None:
        with self.gate:
            if self._stopped.is_set():
                return
            self.stop_trying()
            if self.up is not None:
                self._queue.append((CloseInstance, None))
                self._connection.poke()
                return
        self.dialer.hang_up()

    def stop_trying(self) -> None:
        self._stopped.set()

    def came_up(self, host: str, server: str, session_timeout: float) -> None:
        """Called on kazoo's thread once a connection can be used."""
        with self.gate:
            # Nothing of ours can have been put there since the last one went down.
            self.epochs += 1
            self.up = self.epochs
            self.reason = ""
        self.dialer.reset()
        self.tell(Up(self.epochs, self._session_id, session_timeout, server, host))

    def _session_callback(self, state: Any) -> None:
        with self.gate:
            was_up = self.up is not None
            if state not in {KeeperState.CONNECTED, KeeperState.CONNECTED_RO}:
                self.up = self.covered = None
        if was_up and self.up is None:
            # Before kazoo fails what is under way: whoever hears of that then knows why.
            self.tell(Down(self.reason or "the connection was lost"))
        super()._session_callback(state)

    def forget(self) -> None:
        for sock in (self.dialer.socket, *self._connection.wake_up_sockets()):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.close()


class _Connection(ConnectionHandler):  # type: ignore[misc] # kazoo has no types
    """kazoo's thread: says when it is ready to be used and when it is over."""

    thread: threading.Thread
    _heard = 0.0
    _asked = 0.0
    _owed = 0
    _session_lasts = 0.0

    def start(self) -> None:
        self._failed: set[tuple[str, int]] = set()
        super().start()
        self.thread = self._connection_routine

    def poke(self) -> None:
        """Wake the thread for one request more, without waiting; call it with the gate closed."""
        try:
            self._write_sock.send(b"\0", socket.MSG_DONTWAIT)
        except BlockingIOError:
            # It is awake, and has hundreds of others to send before this one.
            self._owed += 1

    def _pay(self) -> None:
        if self._owed:
            with self.client.gate:
                self._owed -= 1
                self.poke()

    def wake_up_sockets(self) -> Sequence[socket.socket | None]:
        return self._read_sock, self._write_sock

    def zk_loop(self) -> None:
        unknown: Exception | None = None
        try:
            self._last()
            while self.client.goes_on():
                self._last()
        except Exception as error:  # noqa: BLE001 - told
            unknown = error
        finally:
            self.connection_stopped.set()
            self.close()
            self.handler.callbacks.end()
            reason = self.client.reason if unknown is None else f"{type(unknown).__name__}: {unknown}"
            self.client.tell(Ended(reason or "closed", unknown))

    def _last(self) -> None:
        """Live until stopped or refused."""
        with contextlib.suppress(InterruptedError):  # it was stopped between two attempts
            super().zk_loop()

    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]:
        handler = self.client.handler
        handler.greeting = True
        if time.monotonic() - self._heard > self._session_lasts:
            # The session is over. A server that lost its data would turn away for ever whoever has seen more.
            self.client.last_zxid = 0
        self._failed.add((hostip, port))
        try:
            timeouts: tuple[float, float] = super()._connect(host, hostip, port)
        except handler.timeout_exception:
            self.client.dialer.lengthen()
            raise handler.timeout_exception("it takes connections but doesn't answer") from None
        except exceptions.SessionExpiredError:
            self._failed.discard((hostip, port))  # an answer
            raise
        except exceptions.SessionClosedRequireSaslError as error:
            # How a server that lets in nobody without SASL refuses a password: not known to kazoo's loop.
            raise exceptions.AuthFailedError("refused") from error
        finally:
            handler.greeting = False
        self._failed.discard((hostip, port))
        self._heard, self._session_lasts = time.monotonic(), timeouts[0] * 1.5 / 1000
        # Later than kazoo says so itself, which is before it has authenticated.
        place = f"[{hostip}]:{port}" if ":" in hostip else f"{hostip}:{port}"
        self.client.came_up(host, place, self._session_lasts)
        return timeouts

    def _connect_attempt(self, host: str, hostip: str, port: int, retry: Any) -> object:
        status: object = super()._connect_attempt(host, hostip, port, retry)
        if status is None and (hostip, port) not in self._failed:
            # It answered, and is lost: the rest of the list may be dead, so that begins anew.
            raise ForceRetryError("Reconnecting")
        return status

    def _expand_client_hosts(self) -> list[tuple[str, str, int]]:
        # A dead machine costs as long as it is waited for, and a session lasts only so long.
        return sorted(super()._expand_client_hosts(), key=lambda place: place[1:] in self._failed)

    def _read(self, length: int, timeout: float | None) -> bytes:
        if self.handler.greeting and not 0 <= length <= _GREETING_LIMIT:
            # The first words of another protocol, taken for a length.
            raise exceptions.ConnectionDropped("what answers isn't ZooKeeper, or TLS where none is spoken")
        part = self._at_once(self._socket.recv, length)
        if part == b"" and length:
            raise exceptions.ConnectionDropped("socket connection broken")
        part = part or b""
        return part if len(part) == length else part + super()._read(length - len(part), timeout)

    def _write(self, msg: bytes, timeout: float | None) -> None:
        sent: int = self._at_once(self._socket.send, msg) or 0
        if sent < len(msg):
            super()._write(msg[sent:], timeout)

    def _at_once(self, call: Callable[[Any], Any], argument: object) -> Any:
        """Do what kazoo waits for first: nearly always there is nothing to wait for. None if there is."""
        with self._socket_error_handling(), contextlib.suppress(*NOT_NOW):
            return call(argument)
        return None

    def _read_socket(self, read_timeout: float) -> Any:
        self._heard = time.monotonic()
        return super()._read_socket(read_timeout)

    def _read_header(self, timeout: float | None) -> Any:
        answer = super()._read_header(timeout)
        if answer[0].xid == AUTH_XID:
            # Given at once, before those to what was asked earlier; kazoo takes it for the answer to that.
            pending = self.client._pending  # noqa: SLF001 - kazoo's
            for request in [each for each in pending if each[2] == AUTH_XID][:1]:
                pending.remove(request)
                pending.appendleft(request)
        return answer

    def _read_response(self, header: Any, buffer: bytes, offset: int) -> Any:
        if header.err:
            self.client.uncover(self.client._pending[0][0])  # noqa: SLF001 - kazoo's
        answer = super()._read_response(header, buffer, offset)
        if header.err == exceptions.SessionClosedRequireSaslError.code:
            # It hangs up next, which would be tried again at once, and for a reason that says nothing.
            raise exceptions.AuthFailedError("refused")
        return answer

    def _send_request(self, read_timeout: float, connect_timeout: float) -> None:
        # kazoo takes a request for a ping, and waits for the answers to pings only: who asks all the time
        # would never learn that nobody is there.
        now = time.monotonic()
        if not self.client.asked:
            self._asked = now
        elif now - max(self._asked, self._heard) > read_timeout:
            raise exceptions.ConnectionDropped("no answer to requests")
        try:
            super()._send_request(read_timeout, connect_timeout)
        except (ValueError, TypeError, AttributeError, struct.error) as error:
            # Not a request that can be written. It must not end the connection that is everybody's.
            self.client.refuse_next(error)
            self._read_sock.recv(1)
        self._pay()

    def _read_watch_event(self, buffer: bytes, offset: int) -> None:
        event, _ = Watch.deserialize(buffer, offset)
        self.client.tell(Happened(event.type, event.path))
        if self.handler.callbacks.begun:
            super()._read_watch_event(buffer, offset)


class _Reply:
    """What kazoo fills with the answer, on its thread."""

    __slots__ = ("_tell", "_ticket")

    def __init__(self, ticket: Any, tell: Callable[[Note], None]) -> None:
        self._ticket = ticket
        self._tell = tell

    def set(self, value: Any = None) -> None:
        self._tell(Replied(self._ticket, value, None))

    def set_exception(self, error: BaseException) -> None:
        name = type(error).__name__.removesuffix("Error")
        known = isinstance(error, exceptions.KazooException)
        self._tell(Replied(self._ticket, None, named(name) if known else Failure(f"{name}: {error}")))


def _authentication(location: Location) -> tuple[list[tuple[str, str]] | None, dict[str, str] | None]:
    """Return kazoo's ``auth_data`` and ``sasl_options``, of which one at most is given."""
    credentials = location.credentials
    if credentials is None:
        return None, None
    if credentials.mechanism == "digest":
        return [("digest", f"{credentials.user}:{credentials.password}")], None
    return None, {"mechanism": "DIGEST-MD5", "username": credentials.user, "password": credentials.password}


# A forked child shares the sockets but has none of the threads: it must neither speak nor keep them open.
_sessions: "weakref.WeakSet[Session]" = weakref.WeakSet()


def _forget_all() -> None:
    for session in tuple(_sessions):
        session.forget()


os.register_at_fork(after_in_child=_forget_all)
