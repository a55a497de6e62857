"""The records of a registry: malformed, left by hand, uncallable, or in each other's way."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from peerage.calling.messages import describe, shown, why_not_callable
from peerage.diagnosis.finding import Finding, Severity
from peerage.directory import Directory
from peerage.directory.listing import Row, listing
from peerage.records.addresses import authority, read_address
from peerage.records.instance import Instance

_OK, _NOTE, _WARNING, _PROBLEM = Severity.OK, Severity.NOTE, Severity.WARNING, Severity.PROBLEM

#: Seconds by which clocks may differ without a finding, and from which tokens are refused (60 s).
CLOCK_SECONDS: Final = 10.0
TOKEN_SECONDS: Final = 60.0

#: Records that are named in one finding.
_NAMED: Final = 5


def check_records(directory: Directory, now: datetime, *, one_host: bool) -> list[Finding]:
    """Judge what the records say.

    Args:
        directory: of all records.
        now: the time of this host, for launch times in the future.
        one_host: whether all processes of the registry run on one host, so that loopback is no mistake.
    """
    rows = listing(directory)
    findings = [finding for row in rows for finding in _check_row(row, now, one_host=one_host)]
    findings += _check_superseded(rows)
    visible = directory.find()
    findings += _check_twins(visible)
    findings += _check_shared_addresses(visible)
    if not rows:
        return [
            Finding(
                "record",
                _NOTE,
                "",
                "The registry has no records: no service advertises itself in it.",
                "Start a service, or compare PEERAGE_REGISTRY of your services with the registry above.",
            )
        ]
    concerned = {finding.subject for finding in findings if finding.severity is not _NOTE}
    whole = sum(row.name not in concerned for row in rows)
    if whole:
        few = "1 record is" if whole == 1 else f"{whole} records are"
        findings.append(Finding("record", _OK, "", f"{few} complete and consistent."))
    return findings


# One record


def _check_row(row: Row, now: datetime, *, one_host: bool) -> Iterator[Finding]:
    instance = row.instance
    if instance is None:
        yield Finding(
            "record",
            _PROBLEM,
            row.name,
            f"The record {_name(row.name)} can't be read. {' '.join(row.problems)}",
            "Correct the program that writes it, or remove the record. Until then, readers skip it.",
        )
        return
    if row.problems:
        yield Finding(
            "record",
            _WARNING,
            row.name,
            f"{describe(instance)}: {' '.join(row.problems)}",
            "Correct the program that writes it. Until then, readers leave these parts out.",
        )
    if not instance.ephemeral:
        yield Finding(
            "record",
            _WARNING,
            row.name,
            f"{describe(instance)}: no process owns the record, so it stays for ever and isn't called. "
            "Services on ASAB do call it.",
            "Remove it, unless it was made by hand on purpose: with ZooKeeper's zkCli.sh, 'delete' and its "
            "path.",
        )
    elif not instance.callable and not row.problems:
        yield _uncallable(instance)
    elif instance.callable:
        yield from _check_callable(instance, now, one_host=one_host)


def _uncallable(instance: Instance) -> Finding:
    silent = not instance.record().get("web")
    todo = "Let the service listen on an address that its callers reach, and advertise that or 0.0.0.0."
    return Finding(
        "record",
        _NOTE if silent else _PROBLEM,
        instance.name,
        f"{describe(instance)} can't be called: {why_not_callable(instance)}.",
        "" if silent else todo,
    )


def _check_callable(instance: Instance, now: datetime, *, one_host: bool) -> Iterator[Finding]:
    if not instance.ids:
        yield Finding(
            "record",
            _WARNING,
            instance.name,
            f"{describe(instance)} has no id, so it can't be called by name.",
            "Set SERVICE_ID and INSTANCE_ID of the service.",
        )
    if not one_host and all(_is_loopback(endpoint.host) for endpoint in instance.endpoints):
        yield Finding(
            "record",
            _WARNING,
            instance.name,
            f"{describe(instance)} is on loopback: a process on another host can't call it, or calls its "
            "own host.",
            "Set ASAB_HOSTNAME of the service to the name of its host, and let it listen on an address "
            "that its callers reach, or on 0.0.0.0.",
        )
    ahead = _seconds_ahead(instance, now)
    if ahead > CLOCK_SECONDS:
        yield clock_finding(instance, ahead, "its launch time is")


def _is_loopback(host: str) -> bool:
    # An endpoint on all interfaces of this host keeps the host's name here.
    address = read_address(host)
    return host == "localhost" if address is None else address.loopback


def _seconds_ahead(instance: Instance, now: datetime) -> float:
    try:
        launched = datetime.fromisoformat(str(instance.record().get("launch_time")))
    except ValueError:
        return 0.0
    if launched.tzinfo is None:
        launched = launched.replace(tzinfo=UTC)
    return (launched - now).total_seconds()


def clock_finding(instance: Instance, ahead: float, how: str) -> Finding:
    """Return the finding that the clock of an instance is *ahead* of the one here, by so many seconds."""
    differs = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the clock here"
    refused = abs(ahead) >= TOKEN_SECONDS
    return Finding(
        "clock",
        _PROBLEM if refused else _WARNING,
        instance.name,
        f"{describe(instance)}: {how} {differs}." + " Tokens between both are refused." * refused,
        "Synchronize the clocks of both hosts, for example with chrony or systemd-timesyncd.",
    )


# Several records


def _check_superseded(rows: Iterable[Row]) -> Iterator[Finding]:
    for row in rows:
        if row.superseded and row.instance is not None:
            yield Finding(
                "duplicate",
                _WARNING,
                row.name,
                f"{describe(row.instance)} has a newer record with the same instance id, host and port. "
                "Only the newer one is called.",
                "After a crash and a restart, wait for the session time-out. If it stays, several "
                "processes run with one INSTANCE_ID: give each its own.",
            )


def _check_twins(visible: Iterable[Instance]) -> Iterator[Finding]:
    by_id: dict[str, list[Instance]] = defaultdict(list)
    for instance in visible:
        for key, value in instance.ids:
            if key == "instance_id":
                by_id[value].append(instance)
    for value, twins in by_id.items():
        if len(twins) > 1:
            yield Finding(
                "duplicate",
                _WARNING,
                twins[0].name,
                f"{len(twins)} records have {shown('instance_id', value)}: {_listed(twins)}. Each gets a "
                "share of the calls to that name.",
                "Give each process its own INSTANCE_ID. If one of them has just crashed and runs again "
                "elsewhere, wait for the session time-out.",
            )


def _check_shared_addresses(visible: Iterable[Instance]) -> Iterator[Finding]:
    by_address: dict[tuple[str, int], dict[str, Instance]] = defaultdict(dict)
    for instance in visible:
        for endpoint in instance.endpoints if instance.callable else ():
            by_address[endpoint.host, endpoint.port][instance.name] = instance
    for (host, port), found in by_address.items():
        sharing = list(found.values())
        if len(sharing) > 1 and len({_process(each) for each in sharing}) > 1:
            yield Finding(
                "duplicate",
                _WARNING,
                sharing[0].name,
                f"{len(sharing)} records of different processes have the address "
                f"{_name(authority(host, port))}: {_listed(sharing)}. Only one of them can answer there.",
                "The others are dead, or advertise a wrong port. Wait for the session time-out, and "
                "restart those that stay.",
            )


def _process(instance: Instance) -> object:
    """Return what distinguishes the processes of one host; without a process id, the record."""
    return instance.record().get("process_id") or instance.name


def _listed(instances: list[Instance]) -> str:
    names = [_name(each.name) for each in instances[:_NAMED]]
    more = len(instances) - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def _name(text: str) -> str:
    return ascii(text)[1:-1]
