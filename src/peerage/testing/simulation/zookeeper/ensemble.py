"""A simulated ensemble of ZooKeeper servers: a leader, followers that lag, elections, sessions that time out.

What is simplified: servers don't talk to each other over connections. Whether two of them reach each other is
looked up, and what one sends takes the time of the link. A transaction is committed when the leader reaches a
majority at that moment, and is then in the one log that all servers apply in order, also after they were
away. A proposal that couldn't be committed before its leader was given up is carried out by the next leader,
or lost.
"""

import math
from collections.abc import Mapping
from contextvars import Context
from random import Random
from typing import Any, Final

from peerage.backends.zookeeper.location import parse
from peerage.backends.zookeeper.registry import ZooKeeperRegistry
from peerage.testing.simulation.process import PROCESS
from peerage.testing.simulation.world import Host, World
from peerage.testing.simulation.zookeeper.channel import Call, Hello, Mail
from peerage.testing.simulation.zookeeper.client import SimulatedClient
from peerage.testing.simulation.zookeeper.member import PORT, Link, Member
from peerage.testing.simulation.zookeeper.proposals import CloseSession, Entry, OpenSession, Proposal
from peerage.testing.simulation.zookeeper.tree import SESSION_EXPIRED, SESSION_MOVED

#: Seconds of the ticks of the servers: what they notice, they notice at a tick.
_TICK: Final = 0.2

#: Seconds without touch after which leader and followers give each other up.
_SYNC_LIMIT: Final = 2.0

#: Seconds that an election takes, at least and at most.
_ELECTION: Final = (0.2, 1.0)

#: Sessions time out after two ticks at least, and after so many seconds at most.
_LONGEST_SESSION: Final = 60.0

#: Transactions are numbered from here on in the first epoch, and from twice of it in the second.
_EPOCH: Final = 1 << 32


class _Session:
    """A session, as the leader knows it."""

    def __init__(self, timeout: float, owner: Link) -> None:
        self.timeout = timeout
        self.owner: Link = owner
        self.ip = owner.ip
        self.deadline = 0.0


class Ensemble:
    """Servers on hosts of their own in *world*: ``zk-1``, ``zk-2`` and so on.

    ::

        world = World(seed=1)
        ensemble = Ensemble(world)
        world.open_registry = ensemble.open_registry

    A server is a process of its host: stop it, crash it, cut its links as with any other, and start it with
    :meth:`start`.

    Args:
        world: what it is a part of.
        servers: how many; an odd number.
        session_timeout: seconds, which clients ask for.
    """

    def __init__(self, world: World, *, servers: int = 3, session_timeout: float = 10.0) -> None:
        self.world = world
        self.random = Random(world.random.random())
        self.session_timeout = session_timeout
        self.mail = Mail()
        self.log: list[Entry] = []
        """All transactions that were committed."""
        self.leader: Member | None = None
        self.members = tuple(
            Member(self, number, world.host(f"zk-{number}"), self.random) for number in range(1, servers + 1)
        )
        self._epoch = 0
        self._sessions: dict[int, _Session] = {}
        self._opened = 0
        # What the leader couldn't commit yet.
        self._stalled: list[Proposal] = []
        self._due = 0.0
        self._election: float | None = None
        for member in self.members:
            self.start(member)
        self._elect(list(self.members))
        world.network.in_kernel(_TICK, self._tick)

    def start(self, member: Member) -> None:
        """Start the process of a server that was killed, or whose machine was off."""
        member.host.start(member.program)

    def open_registry(
        self, host: Host, path: str = "/asab", *, user: str = "", options: Mapping[str, Any] | None = None
    ) -> ZooKeeperRegistry:
        """Return a registry of this ensemble for a process on *host*, with *options* of its URL.

        *user* is ``user:password``.
        """
        hosts = ",".join(f"{member.host.name}:{PORT}" for member in self.members)
        query = "&".join(
            f"{name}={value}"
            for name, value in {"session_timeout": self.session_timeout, **(options or {})}.items()
        )
        location = parse(f"zookeeper://{f'{user}@' if user else ''}{hosts}{path}?{query}", {})
        random, context = Random(self.random.random()), Context()
        context.run(PROCESS.set, host.process)

        def make(location: Any, _context: Any, report: Any, _pause: Any) -> Any:
            return SimulatedClient(self.mail, random, location, report, context)

        return ZooKeeperRegistry(location, None, make_client=make)

    # Faults that aren't those of hosts and links

    def expire(self, host: Host) -> None:
        """End the sessions of the processes on *host*, as if they had been silent for too long.

        Without a leader that has a majority, this happens later or never.
        """
        for number, session in tuple(self._sessions.items()):
            if session.ip == host.ip:
                self._receive(self.leader, CloseSession(None, number))

    def lose_data(self) -> None:
        """Lose all data and all sessions, as if the servers began with empty disks.

        Raises:
            RuntimeError: a server runs.
        """
        if any(member.host.alive for member in self.members):
            raise RuntimeError("Servers lose their data while none of them runs: crash them first.")
        self.leader, self._epoch = None, 0
        self.log.clear()
        self._stalled.clear()
        self._sessions.clear()
        for member in self.members:
            member.stop_serving()
            member.lose_data()

    # Who reaches whom

    def _reach(self, one: Member, other: Member) -> bool:
        """Return whether two servers can talk to each other."""
        if not (one.running and other.running):
            return False
        return one is other or (
            self.world.network.passes(one.host.ip, other.host.ip)
            and self.world.network.passes(other.host.ip, one.host.ip)
        )

    def _leader_of(self, member: Member) -> Member | None:
        """Return the leader that *member* follows, None if it can't reach that, or follows an earlier one."""
        leader = self.leader
        follows = leader is not None and member.follows is leader and self._reach(member, leader)
        return leader if follows else None

    def _is_majority(self, members: list[Member]) -> bool:
        return 2 * len(members) > len(self.members)

    def _followers(self, leader: Member) -> list[Member]:
        """Return the servers that follow *leader* and are in touch with it, itself included."""
        return [each for each in self.members if each.follows is leader and self._reach(each, leader)]

    def _way(self, one: Member, other: Member) -> float:
        """Return the seconds that a message takes."""
        return 0.0 if one is other else self.world.network.way(one.host.ip, other.host.ip)

    # What the leader does

    def propose(self, member: Member, proposal: Proposal) -> None:
        """Ask the leader that *member* follows to carry out *proposal*."""
        leader = member.follows
        if leader is None or leader is not self.leader:
            return  # given up, which this member hasn't noticed
        if not self._reach(member, leader):
            self._stalled.append(proposal)
            return
        loop = self.world.loop
        # What one server sends arrives in order, and the leader's disk keeps one after the other.
        self._due = max(self._due, loop.time() + self._way(member, leader) + leader.disk)
        loop.call_at(self._due, self._receive, leader, proposal, context=leader.context)

    def _receive(self, leader: Member | None, proposal: Proposal) -> None:
        if self.leader is not leader:
            return
        if leader is not None and self._is_majority(self._followers(leader)):
            self._commit(proposal)
        else:
            self._stalled.append(proposal)

    def _commit(self, proposal: Proposal) -> None:
        leader = self.leader
        assert leader is not None, "it commits"
        refusal = self._check_session(proposal)
        if refusal is not None:
            if proposal.link is not None:
                proposal.link.refused(proposal, refusal)
            return
        transaction = proposal.prepare(leader.state, int(self.world.wall_clock() * 1000))
        self.log.append(Entry(transaction, proposal))
        leader.apply(len(self.log))
        for follower in self._followers(leader):
            if follower is not leader:
                self._replicate(leader, follower)

    def _check_session(self, proposal: Proposal) -> int | None:
        """Return the error number of a proposal of a session that is over or was moved; keep the sessions."""
        if isinstance(proposal, OpenSession):
            self._opened += 1
            proposal.session = self._opened
            proposal.timeout = min(max(proposal.timeout, 2 * _TICK), _LONGEST_SESSION)
            session = self._sessions[proposal.session] = _Session(proposal.timeout, proposal.link)
            self._extend(session)
            return None
        found = self._sessions.get(proposal.session)
        if found is None:
            return SESSION_EXPIRED
        if proposal.link is not None and proposal.link is not found.owner:
            return SESSION_MOVED
        if isinstance(proposal, CloseSession):
            del self._sessions[proposal.session]
        return None

    def _replicate(self, leader: Member, follower: Member) -> None:
        least, most = follower.lag
        seconds = self._way(leader, follower) + self.random.uniform(least, most)
        follower.catch_up(len(self.log), seconds)

    def synchronise(self, link: Link, call: Call) -> None:
        """Answer a request of *link* once its server has applied what the leader has committed by now."""
        member = link.member
        leader = self._leader_of(member)
        if leader is None:
            return  # the connection ends once that is noticed
        loop = self.world.loop

        def arrive() -> None:
            count = len(self.log)
            loop.call_later(
                self._way(leader, member), member.wait_applied, count, link, call, context=member.context
            )

        loop.call_later(self._way(member, leader), arrive, context=leader.context)

    # Sessions

    def touch(self, number: int, member: Member) -> None:
        """Take note that the client of a session is alive, if the leader can know it."""
        session = self._sessions.get(number)
        leader = self.leader
        if (
            session is not None
            and leader is not None
            and member.follows is leader
            and self._reach(member, leader)
        ):
            self._extend(session)

    def _extend(self, session: _Session) -> None:
        # As the servers do, which look at whole ticks.
        session.deadline = (math.floor((self.world.loop.time() + session.timeout) / _TICK) + 1) * _TICK

    def revive(self, link: Link, hello: Hello) -> None:
        """Ask the leader whether the session of a client that comes back is still there."""
        member = link.member
        leader = self._leader_of(member)
        if leader is None:
            return
        loop = self.world.loop

        def arrive() -> None:
            session = self._sessions.get(hello.session)
            if session is not None:
                session.owner, session.ip = link, link.ip or session.ip
                self._extend(session)
            granted = (hello.session, session.timeout) if session is not None else (0, 0.0)
            loop.call_later(self._way(leader, member), link.welcome, *granted, context=member.context)

        loop.call_later(self._way(member, leader), arrive, context=leader.context)

    def _expire(self) -> None:
        now = self.world.loop.time()
        for number, session in tuple(self._sessions.items()):
            if session.deadline <= now:
                self._commit(CloseSession(None, number))

    # Elections

    def _tick(self) -> None:
        self.world.network.in_kernel(_TICK, self._tick)
        now, leader = self.world.loop.time(), self.leader
        if leader is not None:
            self._keep_leader(leader, now)
        for member in self.members:
            self._check_leader(member, now)
        self._look_for_leader(now)

    def _keep_leader(self, leader: Member, now: float) -> None:
        """Let the leader work, or step down."""
        followers = self._followers(leader)
        for follower in followers:
            follower.in_touch = now if follower is not leader else follower.in_touch
            if follower.applied < len(self.log):
                self._replicate(leader, follower)
        if self._is_majority(followers):
            leader.in_touch = now
            stalled, self._stalled = self._stalled, []
            for proposal in stalled:
                self._commit(proposal)
            self._expire()

    def _check_leader(self, member: Member, now: float) -> None:
        """Let a server notice that its leader is gone, or that it has no majority any more."""
        leader = member.follows
        if leader is None:
            return
        if not member.host.alive or (
            member.running
            and (
                now - member.in_touch > _SYNC_LIMIT
                # The kernel of its machine ends the connection.
                or (not leader.host.alive and leader.host.machine.up)
                or leader.follows is not leader
            )
        ):
            member.stop_serving()
        if member is self.leader and member.follows is None:
            self.leader = None

    def _look_for_leader(self, now: float) -> None:
        """Let servers without a leader join the one there is, or elect one."""
        looking = [each for each in self.members if each.running and each.follows is None]
        if not looking:
            return
        leader = self.leader
        if leader is not None and self._is_majority(self._followers(leader)):
            for member in looking:
                if self._reach(member, leader):
                    self._join(member, leader)
            return
        groups = [[each for each in looking if self._reach(member, each)] for member in looking]
        group = max(groups, key=len)
        if not self._is_majority(group):
            self._election = None
        elif self._election is None:
            self._election = now + self.random.uniform(*_ELECTION)
        elif now >= self._election:
            self._elect(group)

    def _join(self, member: Member, leader: Member) -> None:
        member.follows, member.in_touch = leader, self.world.loop.time()
        if member is not leader:
            self._replicate(leader, member)

    def _elect(self, group: list[Member]) -> None:
        """Let the servers of *group* follow one of them."""
        self._election = None
        leader = self.leader = max(group, key=lambda member: (member.applied, member.number))
        self._epoch += 1
        leader.apply(len(self.log))
        leader.state.zxid = self._epoch * _EPOCH
        for member in group:
            self._join(member, leader)
        for session in self._sessions.values():
            self._extend(session)
        stalled, self._stalled = self._stalled, []
        for proposal in stalled[: self.random.randint(0, len(stalled))]:
            self._commit(proposal)
