"""A client of the simulated ensemble, in the place of :class:`peerage.backends.zookeeper.session.Client`.

It does what kazoo's thread does, with the same patience, pauses and pings, and reports the same notes. There
is one event loop for all, so a task stands for the thread.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from random import Random
from typing import Any, Final

from peerage.backends.zookeeper.failures import error_of
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.notes import (
    Closed,
    Connected,
    ConnectFailed,
    Disconnected,
    NodeEvent,
    Note,
    Request,
    SessionEnded,
)
from peerage.testing.simulation.zookeeper.channel import (
    AUTHENTICATION,
    Answered,
    Authenticate,
    Call,
    Channel,
    Close,
    Event,
    Hello,
    Mail,
    Ping,
    Welcome,
)
from peerage.testing.simulation.zookeeper.tree import CONNECTION_LOSS, NO_NODE, SESSION_EXPIRED

#: Seconds to wait for a server at each step until the session is established, at first and at most.
_FIRST_PATIENCE: Final = 0.5
_LAST_PATIENCE: Final = 4.0

#: Seconds between two rounds of the servers, at first and at most.
_FIRST_PAUSE: Final = 0.05
_LAST_PAUSE: Final = 0.4

#: The request exists, which kazoo answers with None if there is no such node.
_EXISTS: Final = 3


class _Thread:
    """Stands for kazoo's thread, which has always ended when it is joined."""

    def join(self, timeout: float | None = None) -> None:
        """Return."""


class SimulatedClient:
    """One session after the other, until closed.

    Args:
        mail: keeps the messages under way.
        random: source of the order of servers, and of pauses.
        location: names the servers.
        report: called with each note; must not wait.
        context: in which it runs: that of its process.
    """

    def __init__(
        self,
        mail: Mail,
        random: Random,
        location: Location,
        report: Callable[[Note], None],
        context: Context,
    ) -> None:
        self._mail = mail
        self._context = context
        self._random = random
        self._location = location
        self.report = report
        self.up: int | None = None
        self.connections = 0
        self.thread: _Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._channel: Channel | None = None
        self._over = False
        self._reason = ""
        self._patience = _FIRST_PATIENCE
        self._failed: set[str] = set()
        self._session = 0
        self._timeout = location.session_timeout
        self._last_zxid = 0
        self._last_answer = self._last_sent = self._waiting_since = 0.0
        self._pinging = False
        self._number = 0
        self._pending: dict[int, Request] = {}
        self._greeting: asyncio.Future[Any]
        self._lost: asyncio.Future[str]

    # For the connection

    def begin(self) -> None:
        """Begin to connect; returns at once."""
        self.thread = _Thread()
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name="peerage: zookeeper", context=self._context)
        # A task that is cancelled early never begins its coroutine.
        self._task.add_done_callback(self._ended, context=self._context)

    def begin_to_close(self) -> None:
        """End the session for good; returns at once."""
        self._over = True
        if self.up is not None and self._channel is not None:
            self._channel.send(Close())
        else:
            self.abort()

    def discard(self) -> None:
        """End a client that was never started."""

    def abort(self) -> None:
        """Cut the connection; the servers end the session when that times out."""
        if self._task is not None:
            self._task.cancel()

    def hang_up(self) -> None:
        """Cut the connection; another one follows."""
        if self._channel is not None:
            self._drop("the connection was lost")

    def submit(self, request: Request) -> bool:
        """Send *request* over its connection; False if that is lost. Once answered, it is reported."""
        if self.up != request.connection or self._channel is None:
            return False
        now = self._now()
        if not self._pending:
            self._waiting_since = now
        elif now - max(self._waiting_since, self._last_answer) > self._timeout * 2 / 3:
            self._drop("no answer to requests")
        self._number += 1
        self._pending[self._number] = request
        self._channel.send(Call(self._number, request.body))
        self._last_sent = now
        return True

    # The task

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            if await self._try_all():
                pause = _FIRST_PAUSE
            if self._over:
                return
            await asyncio.sleep(pause * self._random.uniform(0.6, 1.0))
            pause = min(2 * pause, _LAST_PAUSE)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._close_channel("closed")
        self.report(SessionEnded(self._reason or "closed", None))
        self.report(Closed())
        if not task.cancelled():
            task.result()

    async def _try_all(self) -> bool:
        """Try the servers, those last that failed; return True once a connection with one has ended."""
        servers = self._location.hosts.split(",")
        self._random.shuffle(servers)
        for server in sorted(servers, key=self._failed.__contains__):
            self._failed.add(server)
            try:
                await self._connect(server)
                await self._serve()
            except TimeoutError:
                self._patience = min(2 * self._patience, _LAST_PATIENCE)
                self._connect_failed("it takes connections but doesn't answer")
            except OSError as error:
                self._connect_failed(error.strerror or str(error))
            finally:
                self._close_channel("the connection was lost")
            if self._over or server not in self._failed:
                return True
        return False

    async def _connect(self, server: str) -> None:
        """Connect, and establish the session; or raise OSError.

        If the session is over, the connection is lost afterwards, and the next one begins a new session.
        """
        loop, (host, _, port) = asyncio.get_running_loop(), server.rpartition(":")
        if self._now() - self._last_answer > self._timeout:
            # A server that has lost its data would refuse for ever a client that has seen more.
            self._last_zxid = 0
        self._greeting, self._lost = loop.create_future(), loop.create_future()
        async with asyncio.timeout(self._patience):
            transport, self._channel = await loop.create_connection(
                lambda: Channel(self._mail, self._received, self._drop), host, int(port)
            )
            self._channel.send(Hello(self._session, self._location.session_timeout, self._last_zxid))
            welcome: Welcome = await self._answer()
        self._failed.discard(server)
        if not welcome.session:
            self._session = 0
            self._drop("Session has expired")
            return
        self._session, self._timeout = welcome.session, welcome.timeout
        credentials = self._location.credentials
        if credentials is not None:
            self._greeting = loop.create_future()
            self._channel.send(Authenticate(f"{credentials.user}:{credentials.password}"))
            async with asyncio.timeout(self._timeout):
                await self._answer()
        address, port_number = transport.get_extra_info("peername")[:2]
        self.connections += 1
        self.up, self._reason, self._patience = self.connections, "", _FIRST_PATIENCE
        self._number, self._pinging, self._last_sent = 0, False, self._now()
        server = f"{address}:{port_number}"
        self.report(Connected(self.connections, self._session, self._timeout, server, host))

    async def _answer(self) -> Any:
        await asyncio.wait((self._greeting, self._lost), return_when=asyncio.FIRST_COMPLETED)
        if not self._greeting.done():
            raise OSError(self._lost.result())
        return self._greeting.result()

    async def _serve(self) -> None:
        """Let the server know that this is alive, until the connection is lost."""
        while not self._lost.done():
            jitter = self._random.uniform(0.01, 0.4)
            due = self._last_sent + self._timeout / 3 - jitter
            await asyncio.wait((self._lost,), timeout=max(due - self._now(), jitter))
            if self._pinging:
                self._drop("outstanding heartbeat ping not received")
            elif self._now() >= due and self._channel is not None:
                self._pinging, self._last_sent = True, self._now()
                self._channel.send(Ping())

    # What arrives

    def _received(self, message: Any) -> None:
        self._last_answer = self._now()
        match message:
            case Answered(number, zxid, error, value):
                self._last_zxid = max(self._last_zxid, zxid)
                self._answered(number, error, value)
            case Event(kind, path):
                self.report(NodeEvent(kind, path))
            case Welcome():
                self._last_zxid = max(self._last_zxid, message.zxid)
                self._greeting.set_result(message)
            case Ping():
                self._pinging = False

    def _answered(self, number: int, error: int, value: Any) -> None:
        if number == AUTHENTICATION:
            self._greeting.set_result(None)
        if number <= 0:
            return
        request = self._pending.pop(number)
        if not error or (error == NO_NODE and request.body.type == _EXISTS):
            request.set(value)
        else:
            request.set_exception(error_of(error))

    def _drop(self, reason: str) -> None:
        """Take note that the connection can't be used any more."""
        if not self._lost.done():
            self._lost.set_result(reason)
            if not self._over:
                self._connect_failed(reason)

    def _close_channel(self, reason: str) -> None:
        """Close what is left of the connection, and fail what was requested over it."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        was_up, self.up = self.up is not None, None
        if was_up:
            self.report(Disconnected(self._reason or reason))
        pending, self._pending = self._pending, {}
        for request in pending.values():
            request.set_exception(error_of(CONNECTION_LOSS if self._session else SESSION_EXPIRED))

    def _connect_failed(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            self.report(ConnectFailed(reason))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
