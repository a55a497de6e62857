"""What servers ask the leader to carry out, and what becomes of it: an entry of the ensemble's log."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from peerage.testing.simulation.zookeeper.channel import CLOSE
from peerage.testing.simulation.zookeeper.model import Server
from peerage.testing.simulation.zookeeper.transactions import Transaction
from peerage.testing.simulation.zookeeper.watches import Client

if TYPE_CHECKING:
    from peerage.testing.simulation.zookeeper.member import Link


@dataclass(eq=False, slots=True)
class OpenSession:
    """A session begins."""

    link: "Link"
    timeout: float
    session: int = 0
    """Set by the leader."""
    number: int = 0

    def prepare(self, leader: Server, time: int) -> Transaction:
        """Return the transaction."""
        return leader.prepare_open(self.session, time)


@dataclass(eq=False, slots=True)
class CloseSession:
    """A session ends, because its client or the leader ends it."""

    link: "Link | None"
    session: int
    number: int = CLOSE

    def prepare(self, leader: Server, time: int) -> Transaction:
        """Return the transaction."""
        return leader.prepare_close(self.session, time)


@dataclass(eq=False, slots=True)
class Write:
    """A request that writes."""

    link: "Link"
    number: int
    client: Client
    body: Any

    @property
    def session(self) -> int:
        """The session that requests it."""
        return self.client.session

    def prepare(self, leader: Server, time: int) -> Transaction:
        """Return the transaction."""
        return leader.prepare(self.client, self.body, time)


Proposal = OpenSession | CloseSession | Write


class Entry(NamedTuple):
    """A transaction that is committed: a majority of the servers has it."""

    transaction: Transaction
    proposal: Proposal
