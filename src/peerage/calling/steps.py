"""The steps of a call: what its adapter is to do next."""

from typing import TYPE_CHECKING, NamedTuple

from peerage.balancing import Outcome, Pick
from peerage.calling.resolution import Lookups
from peerage.calling.retry import Ending
from peerage.records.addresses import authority
from peerage.records.instance import Endpoint, Instance

if TYPE_CHECKING:
    from collections.abc import Sequence


class Attempt:
    """Send the request to this address of this instance."""

    __slots__ = (
        "endpoint",
        "host",
        "ip",
        "is_retry",
        "others",
        "outcome",
        "pick",
        "retry_after",
        "started",
    )

    def __init__(self, pick: Pick, endpoint: Endpoint, ip: str, host: str, started: float) -> None:
        self.pick = pick
        self.endpoint = endpoint
        self.ip = ip
        """The literal address to connect to, IPv6 without brackets."""
        self.others: Sequence[str] = ()
        """Other addresses of the host, tried as well if a connection takes long (RFC 8305)."""
        self.host = host
        """The host that has this address."""
        self.started = started
        self.outcome: Outcome | None = None
        """How it ended; None while it is under way."""
        self.is_retry = False
        """Whether this is a retry or a backup: another instance may process the request, too."""
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
    """Close idle connections: the process has no file descriptor left for a new one."""


class WaitForInstance(NamedTuple):
    """Wait until an instance with *name*, a key and a value, is known, for *seconds* at most."""

    name: tuple[str, str]
    seconds: float


class Pause(NamedTuple):
    """Wait for *seconds*, for the given reason."""

    seconds: float
    reason: str


class GiveUp(NamedTuple):
    """There is nothing left to try."""

    ending: Ending
    message: str
    """What happened; if the caller gets the last failure as it is, why there is no further attempt."""


Step = Attempt | Lookups | TlsProbe | Relieve | Pause | WaitForInstance | GiveUp
