"""Whether instances answer at the addresses in their records."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from peerage.calling.messages import describe
from peerage.diagnosis.finding import Finding, Severity
from peerage.diagnosis.records import CLOCK_SECONDS, clock_finding
from peerage.records.instance import Instance

#: Seconds that an instance has to answer.
PROBE_SECONDS: Final = 2.0

#: Statuses which say that the instance, or a proxy in front of it, can't do its work.
_FAILURES: Final = frozenset((429, 502, 503, 504))


class Answer(Enum):
    """How a port answered a ``HEAD /``."""

    ANSWERED = auto()
    MISDIRECTED = auto()
    """By a service that isn't the one of the record."""
    UNRESOLVED = auto()
    """The host has no address."""
    UNREACHABLE = auto()
    """No connection could be made."""
    SILENT = auto()
    """The connection was made, and there was no answer in time."""
    BROKEN = auto()
    """The connection was closed, or the answer isn't HTTP."""
    NOT_TLS = auto()
    """The record says https, and the port doesn't speak TLS."""
    TLS = auto()
    """The record says http, and the port speaks TLS."""
    NOT_ASKED = auto()
    """This process was short of something, or the time was over."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How one port of an instance answered."""

    instance: Instance
    place: str
    """What was asked: ``10.0.0.5:8080``, or the host name if it has no address."""
    answer: Answer
    reason: str = ""
    """The error, where there is one."""
    status: int | None = None
    """Of an answer in HTTP."""
    ahead: float | None = None
    """Seconds by which its clock is ahead of the one here, from the ``Date`` of its answer."""
    unresolved: str = ""
    """The host name that has no address here, if an advertised address was used instead."""


def check_reach(found: Iterable[Reached]) -> list[Finding]:
    """Judge whether the instances can be called."""
    findings: list[Finding] = []
    answered = left_out = 0
    for each in found:
        if each.answer is Answer.NOT_ASKED:
            left_out += 1
            continue
        worse = list(_check(each))
        findings += worse
        answered += not any(one.severity is not Severity.NOTE for one in worse)
    if left_out:
        findings.append(
            Finding(
                "port",
                Severity.WARNING,
                "",
                f"Ports that weren't checked because time or file descriptors ran out: {left_out}.",
                "Fix what the other findings report, and run this again.",
            )
        )
    if answered:
        ports = "1 port answers" if answered == 1 else f"{answered} ports answer"
        findings.append(Finding("port", Severity.OK, "", f"{ports} where the records say."))
    return findings


def _check(found: Reached) -> Iterator[Finding]:
    who, name, place = describe(found.instance), found.instance.name, ascii(found.place)[1:-1]
    if found.answer in _WORDS:
        severity, what, todo = _WORDS[found.answer]
        reason = f" ({ascii(found.reason)[1:-1]})" if found.reason else ""
        check = "host" if found.answer is Answer.UNRESOLVED else "port"
        yield Finding(check, severity, name, f"{who}: {place} {what}{reason}.", todo)
        return
    if found.status in _FAILURES:
        yield Finding(
            "port",
            Severity.WARNING,
            name,
            f"{who}: {place} answers with the status {found.status}.",
            "Read the log of the service: it can't do its work, or refuses requests because it has too many.",
        )
    if found.unresolved:
        yield Finding(
            "host",
            Severity.NOTE,
            name,
            f"{who}: its host {found.unresolved!a} doesn't resolve here, so its advertised addresses are "
            "used.",
            "Services on ASAB can't call it: set its ASAB_HOSTNAME to a name or an address that resolves "
            "here.",
        )
    if found.ahead is not None and abs(found.ahead) > CLOCK_SECONDS:
        yield clock_finding(found.instance, found.ahead, "the clock of its host is")


_WORDS: Final = {
    Answer.MISDIRECTED: (
        Severity.PROBLEM,
        "is answered by another service, which has taken the port",
        (
            "The process of this record has probably died: the record vanishes when its session times out. "
            "If it stays, compare the hosts and ports of both services: one advertises a wrong port."
        ),
    ),
    Answer.UNRESOLVED: (
        Severity.PROBLEM,
        "has no address here",
        (
            "Set ASAB_HOSTNAME of the service to a name or an address that resolves here, or let DNS or "
            "/etc/hosts resolve this one."
        ),
    ),
    Answer.UNREACHABLE: (
        Severity.PROBLEM,
        "accepts no connection",
        (
            "Start the service again if its process is dead. If it lives, open the port in the firewall "
            "between, or let it listen on that address."
        ),
    ),
    Answer.SILENT: (
        Severity.PROBLEM,
        f"accepts connections, but doesn't answer within {PROBE_SECONDS:g} s",
        "Look at the process: it may be stopped (SIGSTOP), its event loop blocked, or its disk full.",
    ),
    Answer.BROKEN: (
        Severity.PROBLEM,
        "closes connections without an answer in HTTP",
        "See what listens there: it isn't an HTTP server, or breaks off requests. Its log may say why.",
    ),
    Answer.NOT_TLS: (
        Severity.PROBLEM,
        "doesn't speak TLS, and the record says https",
        "Advertise it with scheme='http', or let the server speak TLS.",
    ),
    Answer.TLS: (
        Severity.PROBLEM,
        "speaks TLS, and the record says http",
        "Advertise it with scheme='https'.",
    ),
}
