"""One server of the simulated ensemble, and its connections with clients.

Its data survive its process, as on a disk. Requests of one connection are answered in their order: while one
that writes is under way, those behind it wait.
"""

import asyncio
from collections import deque
from contextvars import Context, copy_context
from random import Random
from typing import TYPE_CHECKING, Any, Final

from peerage.testing.simulation.world import Host
from peerage.testing.simulation.zookeeper.channel import (
    AUTHENTICATION,
    Answered,
    Authenticate,
    Call,
    Channel,
    Close,
    Event,
    Hello,
    Ping,
    Welcome,
)
from peerage.testing.simulation.zookeeper.model import Answer, Server, digest_identity, writes
from peerage.testing.simulation.zookeeper.proposals import CloseSession, OpenSession, Proposal, Write
from peerage.testing.simulation.zookeeper.tree import OK, SESSION_EXPIRED, SESSION_MOVED, THROTTLED
from peerage.testing.simulation.zookeeper.watches import Client

if TYPE_CHECKING:
    from peerage.testing.simulation.zookeeper.ensemble import Ensemble

PORT: Final = 2181

#: The request sync.
_SYNC: Final = 9

#: What a server answers to the word ``srvr``, as far as the registry reads it.
_SRVR: Final = b"Zookeeper version: 3.8.0-simulated, built on 2022-02-25 08:49 UTC\n"


class Member:
    """A server on *host*, the next one of *ensemble*."""

    def __init__(self, ensemble: "Ensemble", number: int, host: Host, random: Random) -> None:
        self.ensemble = ensemble
        self.number = number
        self.host = host
        self.random = random
        self.lag = (0.0, 0.005)
        """The least and the most seconds until it has applied what was committed, beyond those on the way."""
        self.disk = 0.0
        """Seconds that its disk takes to keep a transaction; those of the leader delay all."""
        self.throttled = 0.0
        """The share of requests that it leaves undone because it has too much to do."""
        self.lost_replies = 0.0
        """The share of changes after which it loses the connection instead of confirming them."""
        self.lose_data()
        self.follows: Member | None = None
        """The leader, also if that is itself; None while it serves no client."""
        self.in_touch = 0.0
        """When it last was in touch with the leader; for the leader, with a majority."""
        self.context = Context()

    def lose_data(self) -> None:
        """Begin without data; see :meth:`Ensemble.lose_data`."""
        self.state = Server(self._send_event)
        self.applied = 0
        """How many transactions of the ensemble's log it has applied."""
        self._due = 0.0
        self._links: dict[Client | Link, Link] = {}
        self._barriers: list[tuple[int, Link, Call]] = []

    @property
    def running(self) -> bool:
        """Whether its process runs: it has begun, and is neither stopped nor dead."""
        process = self.host.process
        return process is not None and process.running

    async def program(self, _: Host) -> None:
        """Serve until killed; what its host runs."""
        if self.host.starts > 1:
            self.stop_serving()
            self._due = 0.0
        self.context = copy_context()
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: Link(self), None, PORT)
        await loop.create_future()

    def stop_serving(self) -> None:
        """Follow no leader, and end all connections with clients."""
        self.follows = None
        for link in tuple(self._links.values()):
            link.end()

    # Transactions

    def catch_up(self, count: int, seconds: float) -> None:
        """Apply the first *count* transactions of the log, in *seconds* or later."""
        loop = self.ensemble.world.loop
        self._due = max(self._due, loop.time() + seconds)
        loop.call_at(self._due, self.apply, count, context=self.context)

    def apply(self, count: int) -> None:
        """Apply the first *count* transactions of the log."""
        log = self.ensemble.log
        while self.applied < count:
            entry = log[self.applied]
            self.applied += 1
            answer = self.state.apply(entry.transaction)
            link = entry.proposal.link
            if link is not None and link.member is self:
                link.written(entry.proposal, answer)
            if entry.transaction.closed:
                self._end_session(entry.transaction.closed)
        ready = [each for each in self._barriers if each[0] <= self.applied]
        self._barriers = [each for each in self._barriers if each[0] > self.applied]
        for _, link, call in ready:
            link.synchronised(call)

    def wait_applied(self, count: int, link: "Link", call: Call) -> None:
        """Let *link* answer a request once the first *count* transactions are applied."""
        if self.applied >= count:
            link.synchronised(call)
        else:
            self._barriers.append((count, link, call))

    # Connections

    def add(self, link: "Link") -> None:
        """Take note of a new connection."""
        self._links[link] = link

    def identify(self, link: "Link", client: Client) -> None:
        """Take note whose connection it is; an older one of the same session ends."""
        self._end_session(client.session)
        del self._links[link]
        self._links[client] = link

    def remove(self, link: "Link") -> None:
        """Forget a connection that has ended, and its watches."""
        self._links.pop(link, None)
        if link.client is not None:
            self._links.pop(link.client, None)
            self.state.watches.forget(link.client)

    def _end_session(self, session: int) -> None:
        for link in tuple(self._links.values()):
            if link.client is not None and link.client.session == session:
                link.end()

    def _send_event(self, client: Client, kind: int, path: str) -> None:
        self._links[client].channel.send(Event(kind, path))


class Link(asyncio.Protocol):
    """A connection with a client."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.client: Client | None = None
        self.channel = Channel(member.ensemble.mail, self._received, self._lost)
        self._waiting: deque[Any] = deque()
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection; a server that follows no leader ends it."""
        self.channel.connection_made(transport)
        if self.member.follows is None:
            self.channel.close()
        else:
            self.member.add(self)

    def data_received(self, data: bytes) -> None:
        """Take messages, or the word ``srvr``."""
        if data == b"srvr" and self.channel.transport is not None:
            self.channel.transport.write(_SRVR)
            self.channel.transport.close()
        else:
            self.channel.data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Take note that it is lost."""
        self.channel.connection_lost(error)

    def end(self) -> None:
        """End the connection."""
        self.channel.close()
        self._lost("")

    def _lost(self, _: str) -> None:
        self._waiting.clear()
        self.member.remove(self)

    @property
    def ip(self) -> str:
        """Address of the client."""
        transport = self.channel.transport
        return "" if transport is None else str(transport.get_extra_info("peername")[0])

    # Messages

    def _received(self, message: Any) -> None:
        self._waiting.append(message)
        self._work()

    def _work(self) -> None:
        while self._waiting and not self._busy and self.channel.transport is not None:
            message = self._waiting.popleft()
            if self.client is None:
                self._greet(message)
            else:
                self._handle(message, self.client)

    def _greet(self, hello: Hello) -> None:
        member = self.member
        if hello.last_zxid > member.state.zxid:
            self.end()  # it has seen more than this server, so what it sees would go back
            return
        self._busy = True
        if not hello.session:
            member.ensemble.propose(member, OpenSession(self, hello.timeout))
        else:
            member.ensemble.revive(self, hello)

    def welcome(self, session: int, timeout: float) -> None:
        """Let the client know its session, 0 if that is over."""
        if self.channel.transport is None:
            return
        self.channel.send(Welcome(session, timeout, self.member.state.zxid))
        if not session:
            self.end()
            return
        client = Client(session)
        self.member.identify(self, client)
        self.client = client
        self._go_on()

    def _handle(self, message: Any, client: Client) -> None:
        member = self.member
        member.ensemble.touch(client.session, member)
        match message:
            case Ping():
                self.channel.send(message)
            case Authenticate(credentials):
                client.identities = (*client.identities, digest_identity(credentials))
                self._answer(AUTHENTICATION, Answer(member.state.zxid, OK, None))
            case Close():
                self._busy = True
                member.ensemble.propose(member, CloseSession(self, client.session))
            case Call():
                self._call(message, client)

    def _call(self, call: Call, client: Client) -> None:
        member = self.member
        number, body = call
        if member.throttled and member.random.random() < member.throttled:
            self._answer(number, Answer(member.state.zxid, THROTTLED, None))
        elif writes(body):
            self._busy = True
            member.ensemble.propose(member, Write(self, number, client, body))
        elif body.type == _SYNC:
            self._busy = True
            member.ensemble.synchronise(self, call)
        else:
            self._answer(number, member.state.read(client, body))

    # Answers

    def written(self, proposal: Proposal, answer: Answer) -> None:
        """Answer a request that was carried out; the proposal that it became is applied."""
        member = self.member
        if self.channel.transport is None:
            return
        if isinstance(proposal, OpenSession):
            self.welcome(proposal.session, proposal.timeout)
            return
        if member.lost_replies and member.random.random() < member.lost_replies:
            self.end()
            return
        self._answer(proposal.number, answer)
        self._go_on()

    def refused(self, proposal: Proposal, error: int) -> None:
        """Answer a request whose session is over, or is another server's by now."""
        assert error in {SESSION_EXPIRED, SESSION_MOVED}, "there is no other reason"
        self._answer(proposal.number, Answer(self.member.state.zxid, error, None))
        self.end()

    def synchronised(self, call: Call) -> None:
        """Answer a request for which this server had to catch up with the leader."""
        if self.client is not None and self.channel.transport is not None:
            self._answer(call.number, self.member.state.read(self.client, call.body))
            self._go_on()

    def _answer(self, number: int, answer: Answer) -> None:
        self.channel.send(Answered(number, *answer))

    def _go_on(self) -> None:
        self._busy = False
        self._work()
