"""Many clients, each a process with a record of its own: mass start, rolling restart, reconnect.

As many as two cores carry; what a thousand by a thousand take is computed from what a few clients spend on a
thousand records, by a model that the table shows.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.pair import OURS, SIDES, THEIRS, Process, started, third
from benchmarks.records import data
from benchmarks.report import Row, milliseconds
from peerage.testing.zookeeper import ZooKeeperServer

#: Clients, each with one record, and how many of them are restarted; the original takes longer.
_CROWDS: Final = {30: {OURS: 10, THEIRS: 10}, 100: {OURS: 20, THEIRS: 2}}

#: Seconds after which it is said who doesn't know what; nothing but another change would tell them.
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
    with tempfile.TemporaryDirectory() as folder, ZooKeeperServer(Path(folder), tick_time=2000) as server:
        with third("keep", server.address) as keeper:
            keeper.ask("hold", "model", 0, _RECORDS)
            _warm(server)
            costs = {side: _costs(server, keeper, side) for side in SIDES}
            for count in _CROWDS:
                for side in SIDES:
                    # On a new server the clients of the original all make the folder at once, which fails for
                    # most: they know nothing then, for five minutes.
                    keeper.ask("hold", _path(side, count), 0, 0)
        for count, restarts in _CROWDS.items():
            for side in SIDES:
                steps[side, count] = _crowd(server, side, count, restarts[side])
    return [*_measured(steps), *_extrapolated(steps, costs)]


def _path(side: str, count: int) -> str:
    return f"crowd-{side.partition(' ')[0]}{count}"


def _warm(server: ZooKeeperServer) -> None:
    command = [sys.executable, "-m", "benchmarks.barezookeeper", "sync", server.address, "/model/run"]
    for _ in range(10):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent.parent)


# What was done


def _crowd(server: ZooKeeperServer, side: str, count: int, restarts: int) -> dict[str, _Step]:
    path = _path(side, count)
    marks = [f"{number}-0" for number in range(count)]
    with started(side, server.address, count) as crowd:
        crowd.ask(None, "reset")
        begin = _Begin(server)
        crowd.ask(None, "join", [[path, _fields(number, mark)] for number, mark in enumerate(marks)])
        start = begin.step(crowd, marks, _PATIENCE)

        crowd.ask(None, "reset")
        begin, left = _Begin(server), []
        for number in range(restarts):
            marks[number] = f"{number}-1"
            left += crowd.ask(number, "restart", path, _fields(number, marks[number]))
            crowd.ask(number, "ready", marks[number])
        rolling = begin.step(crowd, marks, _PATIENCE, left, restarts)

        crowd.ask(None, "reset")
        crowd.tell(None, "lost")
        server.kill()
        server.start()
        begin = _Begin(server)
        crowd.hear()
        return {
            "start": start,
            "rolling": rolling,
            "reconnect": begin.step(crowd, marks, _RECONNECT),
        }


def _fields(number: int, mark: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(data(number, extra={"discovery": {"mark": [mark]}}))
    return fields


class _Begin:
    def __init__(self, server: ZooKeeperServer) -> None:
        self._server = server
        self._at = time.monotonic()
        self._cpu = _cpu_of(server)

    def step(
        self,
        crowd: Process,
        marks: list[str],
        patience: float,
        left: Sequence[dict[str, Any]] = (),
        restarts: int = 0,
    ) -> _Step:
        """Wait until all know the marks, and for what they still do then."""
        told = crowd.ask(None, "know", [[marks, patience]] * len(marks))
        per = len(told) * max(1, restarts)
        return _Step(
            len(told),
            max(each["at"] for each in told) - self._at,
            sum(each["cpu"] for each in (*told, *left)) / per,
            sum(each["received"] for each in (*told, *left)) / per,
            (_cpu_of(self._server) - self._cpu) / per,
            sum(not each["known"] for each in told),
            restarts,
        )


def _cpu_of(server: ZooKeeperServer) -> float:
    """Return the CPU seconds of the server's process."""
    assert server._process is not None
    fields = Path(f"/proc/{server._process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _measured(steps: dict[tuple[str, int], dict[str, _Step]]) -> list[Row]:
    rows = []
    for count in _CROWDS:
        ours, theirs = (steps[side, count] for side in SIDES)
        begun = f"{count} clients, each a process with a record of its own, beside asab:"
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


def _costs(server: ZooKeeperServer, keeper: Process, side: str) -> tuple[_Cost, _Cost]:
    """Return what a client takes for reading a thousand records, and for one change among them."""
    watchers = _WATCHERS[side]
    with started(side, server.address, watchers) as crowd:
        begin = _cpu_of(server)
        told = [crowd.ask(number, "sync", "model", False)[0] for number in range(watchers)]  # noqa: FBT003 - JSON
        read = _mean(told, _cpu_of(server) - begin)
        changes, pause = _CHANGES[side]
        marks = [f"{side}-{number}" for number in range(changes)]
        begin = _cpu_of(server)
        crowd.tell(None, "follow", [[marks, changes * pause + 10, False]] * watchers)
        time.sleep(0.2)
        keeper.ask("change", "model", marks, pause)
        told = crowd.hear()
        assert all(marks[-1] in each["seen"] for each in told), "changes come too fast for it"
        change = _mean([each | {"wall": 0.0} for each in told], _cpu_of(server) - begin)
    return read, replace(
        change,
        cpu=change.cpu / changes,
        received=change.received / changes,
        server=change.server / changes,
    )


def _mean(told: list[dict[str, Any]], server: float) -> _Cost:
    wall, cpu, received = (
        sum(each[name] for each in told) / len(told) for name in ("wall", "cpu", "received")
    )
    return _Cost(wall, cpu, received, server / len(told))


def _extrapolated(
    steps: dict[tuple[str, int], dict[str, _Step]], costs: dict[str, tuple[_Cost, _Cost]]
) -> list[Row]:
    most = max(_CROWDS)
    for side in SIDES:
        crowded = steps[side, most]["rolling"]
        read, change = (_less(cost, crowded.server / crowded.received) for cost in costs[side])
        costs[side] = read, change

    def reading(side: str, jitter: float) -> str:
        """All read everything at once, one time."""
        read, _ = costs[side]
        return _told(read.wall + jitter, read.cpu, read.received, read.server)

    def rolling(side: str) -> str:
        """Each of a thousand goes and comes, which is two changes to all, and reads everything itself."""
        read, change = costs[side]
        return _told(
            _THOUSAND * read.wall,
            read.cpu + 2 * _THOUSAND * change.cpu,
            read.received + 2 * _THOUSAND * change.received,
            read.server + 2 * _THOUSAND * change.server,
        )

    def constants(side: str) -> str:
        read, change = costs[side]
        return f"{side}: R = {_constants(read)}, alone in {milliseconds(read.wall)}; K = {_constants(change)}"

    def check(side: str) -> str:
        read, change = costs[side]
        # A restart is two changes to all, and one reads all; fewer records take so much less to read.
        times = 2 if side == OURS else 2 * most / _RECORDS
        said = read.cpu / _RECORDS + times * change.cpu
        return f"{side}: {milliseconds(said)}, measured {milliseconds(steps[side, most]['rolling'].cpu)}"

    return [
        Row(
            f"{_THOUSAND:,} clients × {_THOUSAND:,} records, all read everything once, as after a reconnect: "
            f"C × R, extrapolated. What a client takes at {_RECORDS:,} records (CPU, bytes, CPU of the "
            "server: the less of alone and, by bytes, in the rolling restart above), R to read all, K for "
            f"one change: {'; '.join(constants(side) for side in SIDES)}. Seconds: the greatest of what one "
            f"client takes alone (ours after min(2 s, N × 0.5 ms)), the server's CPU on {_CORES} cores, the "
            "bytes at 1 Gb/s",
            "shown",
            reading(OURS, min(2.0, _THOUSAND * 5e-4)),
            held=True,
            beside=f"asab: {reading(THEIRS, 0)}; each also writes its record again, at which all read again",
        ),
        Row(
            f"the same, rolling restart of all {_THOUSAND:,}, one after the other: "
            f"C × (R + 2 × {_THOUSAND:,} × K). For {most} × {most} the model says, CPU of a client and a "
            f"restart, {'; '.join(check(side) for side in SIDES)}",
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


def _told(alone: float, cpu: float, received: float, served: float) -> str:
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
