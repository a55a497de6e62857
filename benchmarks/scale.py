"""Many clients, each a process that advertises a record: mass start, rolling restart, reconnect.

As many as two cores carry; what a thousand by a thousand take is computed from what a few clients spend on a
thousand records, by a model that the table shows.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.driver import LIBRARIES, OURS, THEIRS, Process, cpu_of, fixture, running, started
from benchmarks.records import data
from benchmarks.report import Row, milliseconds
from peerage.testing.zookeeper import ZooKeeperServer

#: Clients, each with one record, and how many of them are restarted; the original takes longer.
_FLEETS: Final = {30: {OURS: 10, THEIRS: 10}, 100: {OURS: 20, THEIRS: 2}}

#: Seconds after which the clients that don't know everything are counted.
_PATIENCE: Final = 8
_RECONNECT: Final = 20

#: Watchers and records of which the constants of the model are taken; changes and the seconds between.
_WATCHERS: Final = {OURS: 20, THEIRS: 5}
_RECORDS: Final = 1000
_CHANGES: Final = {OURS: (60, 0.05), THEIRS: (3, 2.5)}

#: Bytes a second of the network, and cores of the server, that the model assumes.
_NETWORK: Final = 125e6
_CORES: Final = 2

_THOUSAND: Final = 1000


@dataclass(frozen=True, slots=True)
class _Step:
    """What it took until all clients knew everything and were quiet again: means of one client."""

    clients: int
    seconds: float
    cpu: float
    received: float
    server: float
    lacking: int
    restarts: int = 0

    def __str__(self) -> str:
        known = f"{self.seconds:.2f} s"
        if self.lacking:
            known = f"{self.lacking} of {self.clients} clients don't know all after {self.seconds:.0f} s"
        each = " and a restart" if self.restarts else ""
        return (
            f"{known}; a client{each}: {milliseconds(self.cpu)} CPU, {_bytes(self.received)}; "
            f"the server for each: {milliseconds(self.server)} CPU"
        )


@dataclass(frozen=True, slots=True)
class _Cost:
    """What one client takes: seconds, CPU, bytes, and the CPU of the server for it."""

    wall: float
    cpu: float
    received: float
    server: float


def measure() -> list[Row]:
    """Every row of this part."""
    steps: dict[tuple[str, int], dict[str, _Step]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        ZooKeeperServer(Path(folder), options={"tickTime": "2000"}) as server,
    ):
        with fixture("keep", server.address) as keeper:
            keeper.ask("hold", "model", 0, _RECORDS)
            _warm(server)
            costs = {library: _costs(server, keeper, library) for library in LIBRARIES}
            for count in _FLEETS:
                for library in LIBRARIES:
                    # On a new server the clients of the original all make the folder at once, which fails for
                    # most: they know nothing then, for five minutes.
                    keeper.ask("hold", _path(library, count), 0, 0)
        for count, restarts in _FLEETS.items():
            for library in LIBRARIES:
                steps[library, count] = _fleet(server, library, count, restarts[library])
    return [*_measured(steps), *_extrapolated(steps, costs)]


def _path(library: str, count: int) -> str:
    return f"fleet-{library.partition(' ')[0]}{count}"


def _warm(server: ZooKeeperServer) -> None:
    for _ in range(10):
        with running("barezookeeper", "sync", server.address, "/model/run") as reader:
            reader.hear()


# What was done


def _fleet(server: ZooKeeperServer, library: str, count: int, restarts: int) -> dict[str, _Step]:
    path = _path(library, count)
    marks = [f"{number}-0" for number in range(count)]
    with started(library, server.address, count) as fleet:
        fleet.ask(None, "reset")
        begin = _Begin(server)
        fleet.ask(None, "join", [[path, _fields(number, mark)] for number, mark in enumerate(marks)])
        start = begin.step(fleet, marks, _PATIENCE)

        fleet.ask(None, "reset")
        begin, left = _Begin(server), []
        for number in range(restarts):
            marks[number] = f"{number}-1"
            left += fleet.ask(number, "restart", path, _fields(number, marks[number]))
            fleet.ask(number, "ready", marks[number])
        rolling = begin.step(fleet, marks, _PATIENCE, left, restarts)

        fleet.ask(None, "reset")
        fleet.tell(None, "lost")
        server.kill()
        server.start()
        begin = _Begin(server)
        fleet.hear()
        return {
            "start": start,
            "rolling": rolling,
            "reconnect": begin.step(fleet, marks, _RECONNECT),
        }


def _fields(number: int, mark: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(data(number, extra={"discovery": {"mark": [mark]}}))
    return fields


class _Begin:
    def __init__(self, server: ZooKeeperServer) -> None:
        self._server = server
        self._at = time.monotonic()
        self._cpu = cpu_of(server)

    def step(
        self,
        fleet: Process,
        marks: list[str],
        patience: float,
        left: Sequence[dict[str, Any]] = (),
        restarts: int = 0,
    ) -> _Step:
        """Wait until all know the marks, and for what they still do then."""
        answer = fleet.ask(None, "know", [[marks, patience]] * len(marks))
        per = len(answer) * max(1, restarts)
        return _Step(
            len(answer),
            max(each["at"] for each in answer) - self._at,
            sum(each["cpu"] for each in (*answer, *left)) / per,
            sum(each["received"] for each in (*answer, *left)) / per,
            (cpu_of(self._server) - self._cpu) / per,
            sum(not each["known"] for each in answer),
            restarts,
        )


def _measured(steps: dict[tuple[str, int], dict[str, _Step]]) -> list[Row]:
    rows = []
    for count in _FLEETS:
        ours, theirs = (steps[library, count] for library in LIBRARIES)
        begun = f"{count} clients, each a process with one record, beside asab:"
        for name, what in (
            ("start", "all start at once"),
            ("rolling", f"rolling restart {_of(ours['rolling'], theirs['rolling'])}"),
            ("reconnect", "the server is killed and started again, from when it serves"),
        ):
            rows.append(
                Row(
                    f"{begun} {what}",
                    "shown",
                    str(ours[name]),
                    held=not ours[name].lacking,
                    beside=f"asab: {theirs[name]}",
                )
            )
    return rows


def _of(ours: _Step, theirs: _Step) -> str:
    return f"({ours.restarts}, of asab {theirs.restarts}), each when the one before is ready"


# What follows from it


def _costs(server: ZooKeeperServer, keeper: Process, library: str) -> tuple[_Cost, _Cost]:
    """Return what a client takes for reading a thousand records, and for one change among them."""
    watchers = _WATCHERS[library]
    with started(library, server.address, watchers) as fleet:
        begin = cpu_of(server)
        answer = [fleet.ask(number, "sync", "model", False)[0] for number in range(watchers)]  # noqa: FBT003 - JSON
        read = _mean(answer, cpu_of(server) - begin)
        changes, pause = _CHANGES[library]
        marks = [f"{library}-{number}" for number in range(changes)]
        begin = cpu_of(server)
        fleet.tell(None, "follow", [[marks, changes * pause + 10, False]] * watchers)
        time.sleep(0.2)
        keeper.ask("change", "model", marks, pause)
        answer = fleet.hear()
        assert all(marks[-1] in each["seen"] for each in answer), "changes come too fast for it"
        change = _mean([each | {"wall": 0.0} for each in answer], cpu_of(server) - begin)
    return read, replace(
        change,
        cpu=change.cpu / changes,
        received=change.received / changes,
        server=change.server / changes,
    )


def _mean(answer: list[dict[str, Any]], server: float) -> _Cost:
    wall, cpu, received = (
        sum(each[name] for each in answer) / len(answer) for name in ("wall", "cpu", "received")
    )
    return _Cost(wall, cpu, received, server / len(answer))


def _extrapolated(
    steps: dict[tuple[str, int], dict[str, _Step]], costs: dict[str, tuple[_Cost, _Cost]]
) -> list[Row]:
    most = max(_FLEETS)
    for library in LIBRARIES:
        measured = steps[library, most]["rolling"]
        read, change = (_less(cost, measured.server / measured.received) for cost in costs[library])
        costs[library] = read, change

    def reading(library: str, jitter: float) -> str:
        """All read everything at once, one time."""
        read, _ = costs[library]
        return _text_of(read.wall + jitter, read.cpu, read.received, read.server)

    def rolling(library: str) -> str:
        """Each of a thousand leaves and joins, which is two changes for all, and reads everything."""
        read, change = costs[library]
        return _text_of(
            _THOUSAND * read.wall,
            read.cpu + 2 * _THOUSAND * change.cpu,
            read.received + 2 * _THOUSAND * change.received,
            read.server + 2 * _THOUSAND * change.server,
        )

    def constants(library: str) -> str:
        read, change = costs[library]
        alone = milliseconds(read.wall)
        return f"{library}: R = {_constants(read)}, alone in {alone}; K = {_constants(change)}"

    def check(library: str) -> str:
        read, change = costs[library]
        # A restart is two changes to all, and one reads all; fewer records take so much less to read.
        times = 2 if library == OURS else 2 * most / _RECORDS
        modelled = read.cpu / _RECORDS + times * change.cpu
        measured = milliseconds(steps[library, most]["rolling"].cpu)
        return f"{library}: {milliseconds(modelled)}, measured {measured}"

    return [
        Row(
            f"{_THOUSAND:,} clients × {_THOUSAND:,} records, all read everything once, as after a reconnect: "
            f"C × R, extrapolated. What a client takes at {_RECORDS:,} records (CPU, bytes, CPU of the "
            "server: the less of alone and, by bytes, in the rolling restart above), R to read all, K for "
            f"one change: {'; '.join(map(constants, LIBRARIES))}. Seconds: the greatest of what one client "
            f"takes alone (ours after min(2 s, N × 0.5 ms)), the server's CPU on {_CORES} cores, the "
            "bytes at 1 Gb/s",
            "shown",
            reading(OURS, min(2.0, _THOUSAND * 5e-4)),
            held=True,
            beside=f"asab: {reading(THEIRS, 0)}; each also writes its record again, at which all read again",
        ),
        Row(
            f"the same, rolling restart of all {_THOUSAND:,}, one after the other: "
            f"C × (R + 2 × {_THOUSAND:,} × K). For {most} × {most} the model says, CPU of a client and a "
            f"restart, {'; '.join(check(library) for library in LIBRARIES)}",
            "shown",
            rolling(OURS),
            held=True,
            beside=f"asab: {rolling(THEIRS)}; less if it misses changes while it reads",
        ),
    ]


def _less(cost: _Cost, by_bytes: float) -> _Cost:
    """Take the server's CPU as under many, if that is less: it then does several things in one go."""
    return replace(cost, server=min(cost.server, cost.received * by_bytes))


def _constants(cost: _Cost) -> str:
    return f"{milliseconds(cost.cpu)}, {_bytes(cost.received)}, {milliseconds(cost.server)}"


def _text_of(alone: float, cpu: float, received: float, served: float) -> str:
    seconds = max(alone, _THOUSAND * served / _CORES, _THOUSAND * received / _NETWORK)
    return (
        f"{_span(seconds)}; a client: {_span(cpu)} CPU, {_bytes(received)}; "
        f"the server: {_span(_THOUSAND * served)} CPU, {_bytes(_THOUSAND * received)}"
    )


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 7200 else f"{seconds:.3g} s"


def _bytes(number: float) -> str:
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number / 1e3:.3g} kB"
