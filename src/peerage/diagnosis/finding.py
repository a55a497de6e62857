"""A finding: one thing that was examined, how it is, and what to do about it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

#: The version of the JSON form: raised when a field is removed or gets another meaning.
SCHEMA: Final = 1


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    PROBLEM = "problem"
    """Something doesn't work."""
    WARNING = "warning"
    """It works, and is unsafe, near a limit or probably not as it was meant."""
    NOTE = "note"
    """Worth knowing; nothing is wrong."""
    OK = "ok"
    """It was examined, and is as it should be."""


class Finding(NamedTuple):
    """One thing that was examined."""

    check: str
    """What was examined, a stable word: ``server``, ``access``, ``record`` …"""
    severity: Severity
    subject: str
    """The one that was examined, where there are several: a server, a path, a host, the name of a record."""
    what: str
    """What was found, a sentence or several."""
    todo: str = ""
    """What to do about it; empty if there is nothing to do."""

    def entry(self) -> dict[str, Any]:
        """Return the finding for programs, as values of JSON."""
        return {**self._asdict(), "severity": self.severity.value}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found, the worst first."""

    url: str
    """The registry, without credentials."""
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, url: str, findings: Sequence[Finding]) -> "Diagnosis":
        """Return the diagnosis with *findings*, of equal severity in their order."""
        order = list(Severity)
        return cls(url, tuple(sorted(findings, key=lambda finding: order.index(finding.severity))))

    def count(self, severity: Severity) -> int:
        """Return how many findings are of one severity."""
        return sum(finding.severity is severity for finding in self.findings)

    @property
    def well(self) -> bool:
        """Whether there is neither a problem nor a warning."""
        return not self.count(Severity.PROBLEM) and not self.count(Severity.WARNING)

    def entry(self) -> dict[str, Any]:
        """Return the diagnosis for programs, as values of JSON."""
        return {
            "schema": SCHEMA,
            "registry": self.url,
            "well": self.well,
            "findings": [finding.entry() for finding in self.findings],
        }


#: Returns the addresses of a host name. Raises OSError, with the reason, if it has none or takes too long.
LookUp = Callable[[str], Awaitable[Sequence[str]]]


@runtime_checkable
class Diagnosable(Protocol):
    """A registry that examines its servers or its folder. Others are asked for their health only."""

    async def diagnose(self, look_up: LookUp, secret: str, /) -> list[Finding]:
        """Examine what the records are kept in, without changing it, within about three seconds.

        Called before the registry is used otherwise.

        Args:
            look_up: looks up the host names of servers.
            secret: the name of the secret whose protection is examined.
        """
