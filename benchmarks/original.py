"""Beside the original, asab 25.15, on the same work in the same run: one client of ZooKeeper.

Both do the same by the same code (:mod:`benchmarks.probe`), and a third program holds the records. Each
library watches a separate folder with equal records, so that the work of one isn't done while the other is
measured.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final

from benchmarks import growth, originalhttp
from benchmarks.driver import LIBRARIES, OURS, PYTHON, THEIRS, Process, fixture, running, started
from benchmarks.records import SIZE, data
from benchmarks.report import Row, milliseconds, spread
from peerage.testing.zookeeper import ZooKeeperServer

_SMALL, _MIDDLE, _FIVE, _LARGE = 100, 1000, 5000, 10_000

#: Records, and how often the first sync is measured; the original takes seconds for the larger ones.
_SYNCS: Final = {_SMALL: 5, _MIDDLE: 5, _FIVE: 3, _LARGE: 2}

#: Records that are followed, and the changes of a block, the second half as long: ours, the original's.
_CHANGES: Final = {_SMALL: (100, 20), _MIDDLE: (100, 5), _LARGE: (100, 2)}

#: Seconds between changes for ours and the bare limit.
_PAUSE: Final = 0.01

#: Between those of the original, in first syncs: a change that comes while it still reads is missed.
_RESPITE: Final = 1.5

_IDLE: Final = 10

#: Joins at once, and the seconds that they are waited for.
_JOINS: Final = 1000
_PATIENCE: Final = {_MIDDLE: 30, _LARGE: 12}

#: Records of others, and how often one more is advertised.
_BLINKS: Final = {3: 40, _MIDDLE: 8}

_numbers = count()

Clients = dict[tuple[str, int], Process]


def measure() -> list[Row]:
    """Every row of this part."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ZooKeeperServer(Path(folder), options={"tickTime": "2000"}) as server,
    ):
        with ExitStack() as stack:
            keeper = stack.enter_context(fixture("keep", server.address))
            for size in _SYNCS:
                for path in sorted({_path(library, size) for library in LIBRARIES}):
                    keeper.ask("hold", path, 0, size)
            clients, rows = _first_sync(server, stack)
            rows += _locating(clients)
            rows += _resting(clients)
            rows += _one_change(server, keeper, clients)
            rows += _visible(server, keeper)
            rows += _joining(keeper, clients)
        rows += originalhttp.measure(server)
    return [*rows, _importing()]


def _path(library: str, size: int) -> str:
    """Return each library's own folder, or the one of both where nothing changes."""
    return f"{library.partition(' ')[0]}{size}" if size != _FIVE else f"both{size}"


def _first_sync(server: ZooKeeperServer, stack: ExitStack) -> tuple[Clients, list[Row]]:
    """Measure it in fresh processes; the last of each stay, and were measured with a heartbeat."""
    clients: Clients = {}
    rows = []
    for size, runs in _SYNCS.items():
        walls: dict[str, list[float]] = {library: [] for library in (*LIBRARIES, growth.LIMIT)}
        cpus: dict[str, list[float]] = {library: [] for library in LIBRARIES}
        gaps = {}
        _bare_sync(server, size)  # warms up the server
        for _ in range(runs):
            walls[growth.LIMIT].append(_bare_sync(server, size))
            for library in LIBRARIES:
                with started(library, server.address) as process:
                    answer = _synced(process, library, size, beating=False)
                walls[library].append(answer["wall"])
                cpus[library].append(answer["cpu"])
        for library in LIBRARIES:
            clients[library, size] = stack.enter_context(started(library, server.address))
            gaps[library] = _synced(clients[library, size], library, size, beating=True)["gap"]
            growth.note("memory", library, size, clients[library, size].ask("memory", size))
        wall = {library: statistics.median(each) for library, each in walls.items()}
        for library, seconds in wall.items():
            growth.note("sync", library, size, seconds)
        times = wall[THEIRS] / wall[OURS]
        rows.append(
            Row(
                f"first sync, `locate` answering, {size:,} records, ZooKeeper, beside asab; fresh processes, "
                f"medians of {runs}",
                "≥ 10 × faster at 5,000" if size == _FIVE else "shown",
                f"{_cost(wall[OURS], cpus[OURS])} = {times:.3g} × faster; "
                f"loop blocked {milliseconds(gaps[OURS])}",
                size != _FIVE or times >= 10,
                f"asab: {_cost(wall[THEIRS], cpus[THEIRS])}; loop blocked {milliseconds(gaps[THEIRS])}",
            )
        )
    return clients, rows


def _synced(process: Process, library: str, size: int, *, beating: bool) -> dict[str, Any]:
    answer: dict[str, Any] = process.ask("sync", _path(library, size), beating)
    assert answer["known"] == size, answer
    assert answer["located"] == 3, answer
    return answer


def _bare_sync(server: ZooKeeperServer, size: int) -> float:
    folder = f"/{_path(OURS, size)}/run"
    with running("barezookeeper", "sync", server.address, folder) as bare:
        return float(bare.hear()["wall"])


def _cost(wall: float, cpu: Sequence[float]) -> str:
    return f"{milliseconds(wall)}, of it {milliseconds(statistics.median(cpu))} CPU"


def _locating(clients: Clients) -> list[Row]:
    rows = []
    sizes = (_SMALL, _MIDDLE, _LARGE)
    taken: dict[tuple[str, int], list[float]] = {
        (library, size): [] for library in LIBRARIES for size in sizes
    }
    listed: dict[tuple[str, int], list[float]] = {key: [] for key in taken}
    for _ in range(11):
        for key, times in taken.items():
            times.append(clients[key].ask("locate", 500))
    for _ in range(5):
        for key, times in listed.items():
            times.append(clients[key].ask("discover"))
    for what, unit, scale, measured in (
        ("`locate()`, 3 results, warm", "µs", 1e6, taken),
        ("`discover()`", "ms", 1e3, listed),
    ):
        answer = {
            library: " / ".join(f"{statistics.median(measured[library, size]) * scale:.3g}" for size in sizes)
            for library in LIBRARIES
        }
        rows.append(
            Row(
                f"{what}, at {_SMALL} / {_MIDDLE:,} / {_LARGE:,} instances, beside asab",
                "shown",
                f"{answer[OURS]} {unit}",
                held=True,
                beside=f"asab: {answer[THEIRS]} {unit}",
            )
        )
    for key, times in taken.items():
        growth.note("locate", *key, statistics.median(times))
    return rows


def _resting(clients: Clients) -> list[Row]:
    """Memory, and what it costs to do nothing; the two libraries do nothing at the same time."""
    for library in LIBRARIES:
        clients[library, _LARGE].tell("idle", _IDLE)
    idle = {library: clients[library, _LARGE].hear() for library in LIBRARIES}
    each = {library: growth.value("memory", library, _LARGE) / _LARGE / 1e3 for library in LIBRARIES}
    return [
        Row(
            f"memory per instance, {_LARGE:,} records of {SIZE} bytes, each asked for once, beside asab",
            "≤ 2.5 kB of RSS",
            f"{each[OURS]:.2f} kB",
            each[OURS] <= 2.5,
            f"asab: {each[THEIRS]:.2f} kB, records not kept",
        ),
        Row(
            f"idle at {_LARGE:,} instances, beside asab",
            "≤ 0.5% of a core",
            f"{idle[OURS]:.3%}",
            idle[OURS] <= 0.005,
            f"asab: {idle[THEIRS]:.3%}",
        ),
    ]


def _one_change(server: ZooKeeperServer, keeper: Process, clients: Clients) -> list[Row]:
    """One record changes; those of the original at a pace that lets it finish what each change begins."""
    rows = []
    for size, (many, few) in _CHANGES.items():
        scan = growth.value("sync", THEIRS, size)
        latencies: dict[str, list[float]] = {library: [] for library in (*LIBRARIES, growth.LIMIT)}
        cpu, gaps = {}, {}
        merged, lost = dict.fromkeys(LIBRARIES, 0), dict.fromkeys(LIBRARIES, 0)
        with fixture("watch", server.address, f"/{_path(OURS, size)}/run") as bare:
            # The last block has the heartbeat, which costs CPU.
            for beating in (False, True):
                for library, number, pause in ((OURS, many, _PAUSE), (THEIRS, few, _RESPITE * scan + 0.05)):
                    changes = max(1, number // 2) if beating else number
                    marks = [f"m{next(_numbers)}" for _ in range(changes)]
                    clients[library, size].tell("follow", marks, changes * pause + 5 * scan + 2, beating)
                    if library == OURS:
                        bare.tell("follow", marks)
                    time.sleep(0.1)
                    began = keeper.ask("change", _path(library, size), marks, pause)
                    answer = clients[library, size].hear()
                    latencies[library] += [at - began[mark] for mark, at in answer["seen"].items()]
                    lost[library] += marks[-1] not in answer["seen"]
                    merged[library] += changes - len(answer["seen"]) - (marks[-1] not in answer["seen"])
                    if library == OURS:
                        seen = bare.hear()
                        latencies[growth.LIMIT] += [at - began[mark] for mark, at in seen.items()]
                    if beating:
                        gaps[library] = statistics.median(answer["gaps"])
                    else:
                        cpu[library] = answer["cpu"] / changes
        for library, each in latencies.items():
            growth.note("change", library, size, statistics.median(each))
        for library in LIBRARIES:
            growth.note("change cpu", library, size, cpu[library])
        answer = {
            library: f"{spread(latencies[library], 'ms', 1e3)}, {milliseconds(cpu[library])} CPU, "
            f"loop blocked {milliseconds(gaps[library])}{_unseen(merged[library], lost[library])}"
            for library in LIBRARIES
        }
        rows.append(
            Row(
                f"one record of {size:,} changed by another process → `locate` shows it, p50 / p99 of "
                f"{many * 3 // 2} ({few * 3 // 2} of asab, {_RESPITE * scan + 0.05:.2g} s apart: it misses "
                "what comes while it reads)",
                "the last is always seen",
                answer[OURS],
                held=not lost[OURS],
                beside=f"asab: {answer[THEIRS]}; "
                f"blocking socket, a read at each event: {spread(latencies[growth.LIMIT], 'ms', 1e3)}",
            )
        )
    return rows


def _unseen(merged: int, lost: int) -> str:
    """Say what wasn't seen: merged with the next change, or the last of a block."""
    parts = [f"{merged} merged with the next" if merged else "", f"{lost} never seen" if lost else ""]
    return "".join(f", {part}" for part in parts if part)


def _visible(server: ZooKeeperServer, keeper: Process) -> list[Row]:
    """One more record is advertised, each library's own way, from a process that does nothing else."""
    rows = []
    for others, times in _BLINKS.items():
        latencies: dict[str, list[float]] = {library: [] for library in LIBRARIES}
        with ExitStack() as stack:
            pairs = {}
            for library in LIBRARIES:
                keeper.ask("hold", f"visible-{_path(library, others)}", 21, others)
                pairs[library] = tuple(
                    stack.enter_context(started(library, server.address)) for _ in range(2)
                )
                for process, command in zip(pairs[library], ("open", "connect"), strict=True):
                    process.ask(command, f"visible-{_path(library, others)}")
            time.sleep(0.5)
            for number in range(times + 1):
                for library, (watcher, advertiser) in pairs.items():
                    mark = f"m{next(_numbers)}"
                    watcher.tell("follow", [mark], 30, False)  # noqa: FBT003 - JSON
                    record = json.loads(data(20_000 + number, extra={"discovery": {"mark": [mark]}}))
                    began = advertiser.ask("appear", mark, record)
                    seen = watcher.hear()["seen"]
                    # The first warms up.
                    if number:
                        latencies[library].append(seen[mark] - began)
                    advertiser.ask("vanish", mark)
                    watcher.ask("gone", mark)
        rows.append(
            Row(
                f"advertise → `locate` elsewhere, each library's own way, {others:,} others, p50 / p99 of "
                f"{times}",
                "shown",
                spread(latencies[OURS], "ms", 1e3),
                held=True,
                beside=f"asab: {spread(latencies[THEIRS], 'ms', 1e3)}",
            )
        )
    return rows


def _joining(keeper: Process, clients: Clients) -> list[Row]:
    rows = []
    for size, patience in _PATIENCE.items():
        answer = {}
        for library in LIBRARIES:
            clients[library, size].tell("grow", size + _JOINS, patience)
            time.sleep(0.1)
            keeper.ask("hold", _path(library, size), size, _JOINS)
            answer[library] = clients[library, size].hear()
        rows.append(
            Row(
                f"burst of {_JOINS:,} joins at {size:,}, ZooKeeper, beside asab",
                "≤ 0.3 s CPU per watcher",
                _joined(answer[OURS], size),
                answer[OURS]["cpu"] <= 0.3 and answer[OURS]["known"] == size + _JOINS,
                f"asab: {_joined(answer[THEIRS], size)}",
            )
        )
    return rows


def _joined(answer: dict[str, Any], before: int) -> str:
    missing = before + _JOINS - answer["known"]
    if not missing:
        return f"{answer['cpu']:.3g} s CPU, after {answer['wall']:.2g} s all known"
    return (
        f"{answer['cpu']:.3g} s CPU, {missing:,} not known after {answer['wall']:.0f} s, and nothing "
        "makes it look before another change or five minutes are over"
    )


def _importing() -> Row:
    programs = {
        "ours": (sys.executable, "import peerage"),
        "theirs": (str(PYTHON), "import asab"),
        "ours, discovery": (
            sys.executable,
            "import peerage; peerage.Discovery('zookeeper://127.0.0.1/x'); import peerage.client, aiohttp",
        ),
        "theirs, discovery": (str(PYTHON), "import asab, asab.api, asab.zookeeper"),
        "ours, nothing": (sys.executable, "pass"),
        "theirs, nothing": (str(PYTHON), "pass"),
    }
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for run in range(8):
        for name, (python, program) in programs.items():
            begin = time.perf_counter()
            subprocess.run([python, "-c", program], check=True, capture_output=True, env=environ)
            if run:
                times[name].append(time.perf_counter() - begin)
    middle = {name: statistics.median(each) for name, each in times.items()}

    def over(name: str) -> str:
        return milliseconds(middle[name] - middle[f"{name.partition(',')[0]}, nothing"])

    return Row(
        "`import peerage` beside `import asab`; with all that discovery through ZooKeeper and a call load, "
        "beside `import asab, asab.api, asab.zookeeper`; each over Python alone",
        "shown",
        f"{over('ours')}; {over('ours, discovery')}",
        held=True,
        beside=f"asab: {over('theirs')}; {over('theirs, discovery')}",
    )
