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
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.handlers.utils import selector_select
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.serialization import (
    CloseInstance,
    Create,
    Delete,
    Exists,
    GetACL,
    GetData,
    SetACL,
    SetData,
    Sync,
    Watch,
)
from kazoo.protocol.states import KeeperState
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from peerage.backends.zookeeper import failures
from peerage.backends.zookeeper.callbacks import Callbacks
from peerage.backends.zookeeper.dialing import Dialer
from peerage.backends.zookeeper.kazoolog import Listener
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.notes import Down, Ended, Happened, Note, Replied, Trouble, Up
from peerage.backends.zookeeper.requests import AddWatch

__all__ = [
    "ACL",
    "CREATOR_ALL_ACL",
    "OPEN_ACL_UNSAFE",
    "Create",
    "Delete",
    "GetACL",
    "KazooClient",
    "Session",
    "SetACL",
    "SetData",
    "Sync",
]

#: kazoo's own back-off grows to an hour; a service must be back within a second of its server.
_RETRY: Final = {"max_tries": -1, "delay": 0.05, "backoff": 2, "max_delay": 0.4}

#: Bytes of a server's answer while it is greeted: a few dozen, and a challenge of SASL.
_GREETING_LIMIT: Final = 65_536

_REFUSED: Final = (
    exceptions.NoAuthError,
    exceptions.InvalidACLError,
)
_LOST: Final = (
    exceptions.ConnectionLoss,
    exceptions.ConnectionClosedError,
    exceptions.SessionExpiredError,
    exceptions.SessionMovedError,
    exceptions.UnknownSessionError,
    exceptions.OperationTimeoutError,
    exceptions.RequestTimeoutError,
    exceptions.ThrottledOpError,
    exceptions.NotReadOnlyCallError,
    exceptions.AuthFailedError,
    exceptions.SessionClosedRequireSaslError,
)
# A server whose watches can't be recursive answers with a marshalling error instead of "unimplemented".
_UNSUPPORTED: Final = (
    exceptions.UnimplementedError,
    exceptions.MarshallingError,
    exceptions.BadArgumentsError,
)
_FAILURES: Final = (
    (exceptions.NoNodeError, failures.NoNode),
    (exceptions.NodeExistsError, failures.NodeExists),
    (exceptions.BadVersionError, failures.BadVersion),
    (_REFUSED, failures.NoAuth),
    (_LOST, failures.Lost),
    (_UNSUPPORTED, failures.Unsupported),
)


def _failure(error: BaseException) -> failures.Failure:
    name = type(error).__name__.removesuffix("Error")
    for kinds, failure in _FAILURES:
        if isinstance(error, kinds):
            return failure(name)
    return failures.Failure(name if isinstance(error, exceptions.KazooException) else f"{name}: {error}")


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
        # Not closed any more: what others ask from now on waits for the connection.
        self._client._state = KeeperState.CONNECTING  # noqa: SLF001 - kazoo says so a moment later
        self._client.start_async()

    def submit(self, request: Any, epoch: int, ticket: Any) -> bool:
        """Send *request* over connection *epoch*; False if that isn't up any more. The answer is Replied."""
        return self._client.submit(request, epoch, ticket)

    def share(self) -> KazooClient:
        """Return the client itself, for requests and watches of others, from any thread."""
        self._client.callbacks.begin()
        return self._client

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


class _Client(KazooClient):  # type: ignore[misc] # kazoo has no types
    """kazoo's client, reporting to *tell*.

    Others may use it as well, with all its methods and from any thread. What they ask stands in the same
    queue; as kazoo has it, it waits there while there is no connection.
    """

    def __init__(
        self, location: Location, context: ssl.SSLContext | None, tell: Callable[[Note], None]
    ) -> None:
        self.tell = tell
        self.gate = threading.Lock()
        self.callbacks = Callbacks()
        self.up: int | None = None
        self.covered: str | None = None
        """The path that a recursive watch of ours is on."""
        self.epochs = 0
        self.reason = ""
        self.dialer = Dialer(context, lambda: bool(self._stopped.is_set()))
        digest, sasl = _authentication(location)
        super().__init__(
            hosts=location.hosts,
            timeout=location.session_timeout,
            handler=_Handler(self.dialer, self.callbacks),
            default_acl=CREATOR_ALL_ACL if location.acl == "creator" else None,
            auth_data=digest,
            connection_retry=_RETRY,
            logger=Listener(self._complain),
            use_ssl=context is not None,
        )
        # Of our own kind, in the place of the one that the base class made.
        self._connection = _Connection(self, self._conn_retry.copy(), logger=self.logger, sasl_options=sasl)

    @property
    def thread(self) -> threading.Thread:
        thread: threading.Thread = self._connection.thread
        return thread

    def _complain(self, reason: str) -> None:
        """Take note of why it doesn't go on: kazoo says so in its log only."""
        if reason != self.reason:
            self.reason = reason
            self.tell(Trouble(reason))

    def submit(self, request: Any, epoch: int, ticket: Any) -> bool:
        with self.gate:
            if self.up != epoch:
                return False
            if isinstance(request, AddWatch) and request.recursive:
                self.covered = request.path
            self._queue.append((request, _Reply(ticket, self.tell)))
            self._connection.poke()
            return True

    def _call(self, request: Any, reply: Any) -> bool | None:
        """Take a request of others; called by kazoo's own methods."""
        error: Exception
        with self.gate:
            match self._state:
                case KeeperState.CLOSED:
                    error = exceptions.ConnectionClosedError("Connection has been closed")
                case KeeperState.AUTH_FAILED:
                    error = exceptions.AuthFailedError()
                case KeeperState.EXPIRED_SESSION:
                    error = exceptions.SessionExpiredError()
                case _:
                    self._queue.append((self._spare(request), reply))
                    self._connection.poke()
                    return None
        reply.set_exception(error)
        return False

    def _spare(self, request: Any) -> Any:
        """Return *request*, without a watch that would be the end of ours.

        Before 3.9 a server keeps one watch of a connection on a node for this: the last (ZOOKEEPER-4466). The
        recursive one brings the same events.
        """
        if isinstance(request, GetData | Exists) and request.watcher and request.path == self.covered:
            return (_CoveredRead if isinstance(request, GetData) else _CoveredExists)(*request)
        return request

    def uncover(self) -> None:
        """Called if the server refused the recursive watch."""
        with self.gate:
            self.covered = None

    def _reset(self) -> None:
        with self.gate:
            left = getattr(self, "_queue", ())
            super()._reset()
        for _, reply in left:
            # Put there after kazoo had emptied it: nobody else would answer.
            if reply is not None:
                reply.set_exception(exceptions.SessionExpiredError())

    @property
    def asked(self) -> bool:
        """Whether an answer is due."""
        return bool(self._pending)

    def refuse_next(self, error: Exception) -> None:
        """Answer the next request in the server's place."""
        _, reply = self._queue.popleft()
        reply.set_exception(error)

    def begin_to_close(self) -> None:
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

    def start(self) -> None:
        super().start()
        self.thread = self._connection_routine

    def poke(self) -> None:
        """Wake the thread for one request more; call it with the gate closed. Never waits."""
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
            super().zk_loop()
        except InterruptedError:
            pass  # kazoo's way of saying that it was stopped between two attempts
        except Exception as error:  # noqa: BLE001 - told
            unknown = error
        finally:
            self.connection_stopped.set()
            self.close()
            self.client.callbacks.end()
            reason = self.client.reason if unknown is None else f"{type(unknown).__name__}: {unknown}"
            self.client.tell(Ended(reason or "closed", unknown))

    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]:
        handler = self.client.handler
        handler.greeting = True
        self._heard = time.monotonic()
        try:
            timeouts: tuple[float, float] = super()._connect(host, hostip, port)
        except handler.timeout_exception:
            self.client.dialer.lengthen()
            raise handler.timeout_exception("it takes connections but doesn't answer") from None
        except exceptions.SessionClosedRequireSaslError as error:
            # How a server that lets in nobody without SASL refuses a password: not known to kazoo's loop.
            raise exceptions.AuthFailedError("refused") from error
        finally:
            handler.greeting = False
        # Later than kazoo says so itself, which is before it has authenticated.
        self.client.came_up(host, _place(hostip, port), timeouts[0] * 1.5 / 1000)
        return timeouts

    def _read(self, length: int, timeout: float | None) -> bytes:
        if self.handler.greeting and not 0 <= length <= _GREETING_LIMIT:
            # The first words of another protocol, taken for a length.
            raise exceptions.ConnectionDropped("what answers isn't ZooKeeper, or TLS where none is spoken")
        answer: bytes = super()._read(length, timeout)
        return answer

    def _read_socket(self, read_timeout: float) -> Any:
        self._heard = time.monotonic()
        return super()._read_socket(read_timeout)

    def _read_response(self, header: Any, buffer: bytes, offset: int) -> Any:
        if header.err and isinstance(self.client._pending[0][0], AddWatch):  # noqa: SLF001 - kazoo's
            self.client.uncover()
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
        except (UnicodeError, struct.error) as error:
            # Not a request that can be sent. It must not end the connection that is everybody's.
            self.client.refuse_next(error)
            self._read_sock.recv(1)
        self._pay()

    def _read_watch_event(self, buffer: bytes, offset: int) -> None:
        event, _ = Watch.deserialize(buffer, offset)
        self.client.tell(Happened(event.type, event.path))
        if self.client.callbacks.begun:
            super()._read_watch_event(buffer, offset)


class _CoveredRead(GetData):  # type: ignore[misc] # kazoo has no types
    """Asks for no event: what happens to this node is told anyway."""

    __slots__ = ()

    def serialize(self) -> bytes:
        return bytes(GetData(self.path, None).serialize())


class _CoveredExists(Exists):  # type: ignore[misc] # kazoo has no types
    """Likewise."""

    __slots__ = ()

    def serialize(self) -> bytes:
        return bytes(Exists(self.path, None).serialize())


class _Handler(SequentialThreadingHandler):  # type: ignore[misc] # kazoo has no types
    """kazoo's way to threads and sockets, with threads for callbacks only if others use the client."""

    def __init__(self, dialer: Dialer, callbacks: Callbacks) -> None:
        super().__init__()
        self.dialer = dialer
        self.callback_queue, self.completion_queue = callbacks.watches, callbacks.answers
        self.greeting = False

    def start(self) -> None:
        self._running = True

    def stop(self) -> None:
        self._running = False

    def spawn(self, func: Callable[..., None], *args: Any, **kwargs: Any) -> threading.Thread:
        thread = threading.Thread(
            target=func, args=args, kwargs=kwargs, name="peerage: zookeeper", daemon=True
        )
        thread.start()
        return thread

    def select(
        self,
        readable: Sequence[Any],
        writable: Sequence[Any],
        broken: Sequence[Any],
        timeout: float | None = None,
    ) -> Any:
        for sock in readable:
            # TLS hands over whole records: what is left of one isn't seen by select.
            if isinstance(sock, ssl.SSLSocket) and sock.pending():
                return [sock], [], []
        if self.greeting and timeout is not None:
            timeout = min(timeout, self.dialer.patience)
        return selector_select(readable, writable, broken, timeout)

    def create_connection(
        self, address: tuple[str, int], hostname: str | None = None, timeout: float = 10.0, **_: Any
    ) -> socket.socket:
        return self.dialer.dial(address, hostname, timeout)


class _Reply:
    """What kazoo fills with the answer, on its thread."""

    __slots__ = ("_tell", "_ticket")

    def __init__(self, ticket: Any, tell: Callable[[Note], None]) -> None:
        self._ticket = ticket
        self._tell = tell

    def set(self, value: Any = None) -> None:
        self._tell(Replied(self._ticket, value, None))

    def set_exception(self, error: BaseException) -> None:
        self._tell(Replied(self._ticket, None, _failure(error)))


def _authentication(location: Location) -> tuple[list[tuple[str, str]] | None, dict[str, str] | None]:
    """Return kazoo's ``auth_data`` and ``sasl_options``, of which one at most is given."""
    credentials = location.credentials
    if credentials is None:
        return None, None
    if credentials.mechanism == "digest":
        return [("digest", f"{credentials.user}:{credentials.password}")], None
    return None, {
        "mechanism": "DIGEST-MD5",
        "username": credentials.user,
        "password": credentials.password,
    }


def _place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# A forked child shares the sockets but has none of the threads: it must neither speak nor keep them open.
_sessions: "weakref.WeakSet[Session]" = weakref.WeakSet()


def _forget_all() -> None:
    for session in tuple(_sessions):
        session.forget()


os.register_at_fork(after_in_child=_forget_all)
