"""The environment of this process: its own ids, and the host name that it would advertise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from peerage.calling.candidates import is_literal
from peerage.diagnosis.finding import Finding, Severity
from peerage.records.names import BUILTIN_KEYS, fold_value
from peerage.records.text import shorten

_OK, _NOTE, _WARNING, _PROBLEM = Severity.OK, Severity.NOTE, Severity.WARNING, Severity.PROBLEM


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service that is started in this environment would advertise."""

    ids: Mapping[str, str]
    """``{key: value}`` of ``service_id``, ``instance_id``, ``node_id`` and ``site_id``, if they are set."""
    host: str
    """The host name."""
    addresses: Sequence[str] = ()
    """The addresses of that host name, looked up here."""
    unresolved: str = ""
    """Why there are none."""
    literals: Sequence[str] = ()
    """The addresses that would be advertised for peers that can't resolve the name."""
    mistake: str = ""
    """What is wrong with a variable that can't be used."""


def check_environment(found: Surroundings, *, one_host: bool) -> list[Finding]:
    """Judge the ids and the host name.

    Args:
        found: the facts.
        one_host: whether all peers are on this host, and so don't need its name.
    """
    if found.mistake:
        return [_finding(_PROBLEM, found.mistake, "Correct the variable: services can't start with it.")]
    return [*_check_ids(found.ids), _check_host(found, one_host=one_host)]


def _check_ids(ids: Mapping[str, str]) -> list[Finding]:
    if mistakes := [mistake for key, value in ids.items() for mistake in _check_id(key, value)]:
        return mistakes
    if ids.keys() & {"service_id", "instance_id"}:
        listed = ", ".join(f"{key.upper()}={shorten(ids[key])}" for key in BUILTIN_KEYS if key in ids)
        return [_finding(_OK, f"The names of a service in this environment: {listed}.")]
    what = (
        "Neither SERVICE_ID nor INSTANCE_ID is set in this environment. A service that is started in it is "
        "found only if its program sets its own names."
    )
    todo = "If this is the environment of a service, set both. In a shell of your own, nothing is wrong."
    return [_finding(_NOTE, what, todo)]


def _check_id(key: str, value: str) -> Iterator[Finding]:
    name, shown = key.upper(), shorten(value)
    if not fold_value(value) or not value.isprintable() or any(map(str.isspace, value)):
        todo = "Set it to a text without blanks and control characters."
        yield _finding(_PROBLEM, f"{name} is {shown}, which can't stand in a URL.", todo, name)
    elif key == "service_id" and value != value.lower():
        what = f"{name} is {shown}. Hosts in URLs are lower case, so services on ASAB don't find it."
        yield _finding(_WARNING, what, "Set it in lower case.", name)


def _check_host(found: Surroundings, *, one_host: bool) -> Finding:
    host = shorten(found.host)
    if is_literal(found.host):
        return _finding(_OK, f"A service on this host advertises the address {host}.")
    if found.addresses:
        listed = ", ".join(found.addresses[:4])
        return _finding(_OK, f"A service on this host advertises the name {host}, which is {listed} here.")
    what = (
        f"A service on this host advertises the name {host}, which doesn't resolve here: {found.unresolved}."
    )
    if one_host:
        return _finding(_NOTE, f"{what} Its peers are on this host, and don't need it.")
    if found.literals:
        others = ", ".join(found.literals[:4])
        return _finding(_NOTE, f"{what} Peers use {others} instead; services on ASAB can't.")
    todo = "Set ASAB_HOSTNAME to a name or address that resolves, or PEERAGE_ADDRESSES to addresses."
    return _finding(_WARNING, what, todo)


def _finding(severity: Severity, what: str, todo: str = "", subject: str = "") -> Finding:
    return Finding("environment", severity, subject, what, todo)
