"""What a call answers to the question what to do next."""

from typing import TYPE_CHECKING, NamedTuple

from peerage.balancing import Outcome, Pick
from peerage.calling.resolution import Lookups
from peerage.calling.retry import Ending
from peerage.records.addresses import authority
from peerage.records.instance import Endpoint, Instance

if TYPE_CHECKING:
    from collections.abc import Sequence


class Attempt:
    """Send the request to this address."""

    __slots__ = (
        "endpoint",
        "host",
        "ip",
        "others",
        "outcome",
        "pick",
        "repeated",
        "retry_after",
        "started",
    )

    def __init__(self, pick: Pick, endpoint: Endpoint, ip: str, host: str, started: float) -> None:
        self.pick = pick
        self.endpoint = endpoint
        self.ip = ip
        """The literal address to connect to, IPv6 without brackets."""
        self.others: Sequence[str] = ()
        """Other addresses of the host, to be connected to if this one doesn't answer soon (RFC 8305)."""
        self.host = host
        """The host that has this address."""
        self.started = started
        self.outcome: Outcome | None = None
        """How it ended; None while it is under way."""
        self.repeated = False
        """Whether an instance may have processed the request before."""
        self.retry_after = 0.0
        """Seconds for which the instance asked not to be called."""

    @property
    def instance(self) -> Instance:
        """The instance that is asked."""
        return self.pick.instance

    @property
    def port(self) -> int:
        """The port to connect to."""
        return self.endpoint.port

    @property
    def authority(self) -> str:
        """``address:port`` as written in a URL."""
        return authority(self.ip, self.endpoint.port)


class TlsProbe:
    """Find out whether the peer at the address of *attempt* speaks TLS, and set :attr:`speaks_tls`."""

    __slots__ = ("attempt", "speaks_tls")

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.speaks_tls = False


class Relieve(NamedTuple):
    """Close connections that no request uses: no descriptor was left for another one."""


class WaitForInstance(NamedTuple):
    """Wait until an instance answers to *name*, key and value, for so many seconds at most."""

    name: tuple[str, str]
    seconds: float


class Pause(NamedTuple):
    """Wait so many seconds: the same instance is asked again."""

    seconds: float


class GiveUp(NamedTuple):
    """There is nothing left to try."""

    ending: Ending
    message: str
    """For the caller; empty if the error of the last attempt is raised as it is."""


Step = Attempt | Lookups | TlsProbe | Relieve | Pause | WaitForInstance | GiveUp
