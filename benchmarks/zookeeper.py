"""The ZooKeeper registry between processes, on one real server: beside a bare client, and with many."""

import statistics
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.barezookeeper import OVERHEAD
from benchmarks.driver import Process, cpu_of, running
from benchmarks.records import SIZE
from benchmarks.report import Row, burst_row, heartbeat_row, idle_row, milliseconds, percentile, spread
from peerage.testing.zookeeper import ZooKeeperServer

_SMALL, _MIDDLE, _LARGE = 100, 1000, 10_000
_RUNS = 5
_SAMPLES = 150
_BLOCKS = 2
_IDLE = 20

#: Clients of the mass start and reconnect: so many processes with so many clients each.
_PROCESSES, _CLIENTS = 20, 5

#: Bytes of the name of a record.
_NAME = len("BenchApplication.0000000000")

#: Bytes a second of the network that the extrapolation assumes: 1 Gb/s.
_NETWORK = 125e6


def measure() -> list[Row]:
    """Every row of this part."""
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        ZooKeeperServer(Path(folder), options={"tickTime": "2000"}) as server,
    ):
        with ExitStack() as stack:
            sizes = (_SMALL, _MIDDLE, _LARGE)
            owners = [
                stack.enter_context(_worker("own", _url(server, f"of{size}"), str(size), "0"))
                for size in sizes
            ]
            for owner in owners:
                owner.hear()
            for size in (_MIDDLE, _LARGE):
                rows += _first_sync(server, size)
            rows += _one_change(server)
            rows += _visible(server)
            rows += _idling(server)
            rows += _memory(server)
            rows += _joining(server, owners[-1])
        runs = [_mass(server, count) for count in (_SMALL, _MIDDLE)]
    return rows + _mass_rows(runs)


def _url(server: ZooKeeperServer, path: str) -> str:
    return f"zookeeper://{server.address}/{path}?session_timeout=30"


def _worker(role: str, *args: str) -> AbstractContextManager[Process]:
    return running("workers", role, *args)


def _bare(role: str, server: ZooKeeperServer, path: str, *args: str) -> AbstractContextManager[Process]:
    return running("barezookeeper", role, server.address, f"/{path}/run", *args)


def _first_sync(server: ZooKeeperServer, size: int) -> list[Row]:
    ours, bare = [], []
    for _ in range(_RUNS):
        with _bare("sync", server, f"of{size}") as reader:
            bare.append(reader.hear())
        with _worker("sync", _url(server, f"of{size}"), str(size)) as reader:
            ours.append(reader.hear())
    assert all(run["known"] for run in ours)
    assert all(run["known"] == size for run in bare)
    wall, limit = (statistics.median(run["wall"] for run in runs) for runs in (ours, bare))
    cpu, least = (statistics.median(run["cpu"] for run in runs) for runs in (ours, bare))
    return [
        Row(
            f"first sync, `locate` answering, {size:,} records, ZooKeeper",
            "≤ 3 × (bare MultiRead + `json.loads` of each)",
            f"{milliseconds(wall)} = {wall / limit:.2f} ×, of it {milliseconds(cpu)} CPU",
            wall <= 3 * limit,
            f"blocking socket, all requests at once: {milliseconds(limit)}, of it {milliseconds(least)} CPU",
        ),
        heartbeat_row(
            f"event loop during it (heartbeat of 1 ms), {size:,} records", [run["gap"] for run in ours]
        ),
    ]


def _one_change(server: ZooKeeperServer) -> list[Row]:
    sizes = (_SMALL, _LARGE)
    latencies: dict[int, list[float]] = {size: [] for size in sizes}
    cpu: dict[int, list[float]] = {size: [] for size in sizes}
    with ExitStack() as stack:
        pairs = {}
        for size in sizes:
            url = _url(server, f"of{size}")
            amender = stack.enter_context(_worker("amend", url, "1000000"))
            amender.hear()
            follower = stack.enter_context(_worker("follow", url))
            follower.hear()
            pairs[size] = amender, follower
        # The server finishes what was begun; the first block warms up.
        time.sleep(0.5)
        for block in range(2 * _BLOCKS + 1):
            for size, (amender, follower) in pairs.items():
                follower.write(_SAMPLES)
                # It measures from the line on.
                time.sleep(0.05)
                amender.write(_SAMPLES)
                seen = follower.hear()
                amender.hear()
                if block:
                    latencies[size] += seen["latencies"]
                    cpu[size].append(seen["cpu"] / _SAMPLES)
    each = {size: statistics.median(cpu[size]) for size in sizes}
    middle = {size: statistics.median(latencies[size]) for size in sizes}
    return [
        Row(
            f"CPU of a client for one change by another process, N = {_SMALL:,} and {_LARGE:,}, ZooKeeper",
            "flat: ≤ 1.5 ×",
            f"{milliseconds(each[_LARGE])} = {each[_LARGE] / each[_SMALL]:.2f} ×",
            each[_LARGE] <= 1.5 * each[_SMALL],
            f"N = {_SMALL:,}: {milliseconds(each[_SMALL])}",
        ),
        Row(
            "update by another process → the directory shows it, p50 / p99, the same",
            "flat: p50 ≤ 1.5 ×",
            f"{spread(latencies[_LARGE], 'ms', 1e3)} = {middle[_LARGE] / middle[_SMALL]:.2f} ×",
            middle[_LARGE] <= 1.5 * middle[_SMALL],
            f"N = {_SMALL:,}: {spread(latencies[_SMALL], 'ms', 1e3)}",
        ),
    ]


def _visible(server: ZooKeeperServer) -> list[Row]:
    ours: list[float] = []
    bare: list[float] = []
    url, count = _url(server, "blink"), str(_SAMPLES)
    # A record that is removed before a watcher has read it isn't seen.
    more = str(_SAMPLES + 15)
    with _worker("blink", url, "1") as warm:  # makes the folder
        warm.hear()
    for _ in range(2 * _BLOCKS):
        for latencies, watcher in (
            (bare, _bare("see", server, "blink", count)),
            (ours, _worker("see", url, count)),
        ):
            with watcher as seer:
                seer.hear()
                with _worker("blink", url, more) as blinker:
                    # The first one includes the beginning of a session.
                    latencies.extend(seer.hear()[1:])
                    blinker.hear()
    p50, p99 = (percentile(ours, share) / percentile(bare, share) for share in (0.5, 0.99))
    return [
        Row(
            "advertise → visible in another process, ZooKeeper, p50 / p99",
            "≤ 1.5 × (bare watch + read)",
            f"{spread(ours, 'ms', 1e3)} = {p50:.2f} / {p99:.2f} ×",
            p50 <= 1.5 and p99 <= 1.5,
            f"blocking socket, recursive watch, a read at each event: {spread(bare, 'ms', 1e3)}",
        )
    ]


def _idling(server: ZooKeeperServer) -> list[Row]:
    with _worker("idle", _url(server, f"of{_LARGE}"), str(_IDLE)) as reader:
        return [idle_row(f"idle at {_LARGE:,} instances, ZooKeeper", reader.hear())]


def _memory(server: ZooKeeperServer) -> list[Row]:
    each = []
    for _ in range(3):
        with _worker("memory", _url(server, f"of{_LARGE}"), str(_LARGE)) as reader:
            answer = reader.hear()
            each.append(answer["grown"] / answer["known"])
    size = statistics.median(each)
    return [
        Row(
            f"memory per instance, {_LARGE:,} records of {SIZE} bytes read from ZooKeeper, answers and "
            "balancer warm",
            "≤ 2.5 kB of RSS",
            f"{size / 1e3:.2f} kB",
            size <= 2500,
        )
    ]


def _joining(server: ZooKeeperServer, owner: Process) -> list[Row]:
    more = 1000
    with _worker("burst", _url(server, f"of{_LARGE}"), str(more)) as reader:
        reader.hear()
        owner.write(more)
        cpu = reader.hear()
        owner.hear()
    return [burst_row(f"burst of {more:,} joins at {_LARGE:,}, ZooKeeper", cpu)]


# Many clients


@dataclass(frozen=True, slots=True)
class _Step:
    """What it took until all clients knew all records; means of one client, and the server's part of one."""

    seconds: float
    cpu: float
    server: float
    received: float


@dataclass(frozen=True, slots=True)
class _Run:
    records: int
    start: _Step
    reconnect: _Step


def _mass(server: ZooKeeperServer, records: int) -> _Run:
    """Let all clients begin at once, then kill the server under them."""
    clients = _PROCESSES * _CLIENTS
    with ExitStack() as stack:
        url = _url(server, f"mass{records}")
        members = [
            stack.enter_context(
                _worker(
                    "members",
                    url,
                    str(_CLIENTS),
                    str(records // clients),
                    str(records),
                    str(number * records // _PROCESSES),
                )
            )
            for number in range(_PROCESSES)
        ]
        for member in members:
            member.hear()
        begin, spent = time.monotonic(), cpu_of(server)
        for member in members:
            member.write("begin")
        start = _step(server, members, begin, spent)
        # Reads that the last events cause come after that.
        time.sleep(1)
        for member in members:
            member.write("again")
        for member in members:
            member.hear()
        server.kill()
        begin = time.monotonic()
        server.start()
        return _Run(records, start, _step(server, members, begin, 0.0))


def _step(server: ZooKeeperServer, members: list[Process], begin: float, spent: float) -> _Step:
    answer = [member.hear() for member in members]
    clients = _PROCESSES * _CLIENTS
    return _Step(
        max(each["at"] for each in answer) - begin,
        sum(each["cpu"] for each in answer) / clients,
        (cpu_of(server) - spent) / clients,
        sum(each["received"] for each in answer) / clients,
    )


def _mass_rows(runs: list[_Run]) -> list[Row]:
    clients, rows = _PROCESSES * _CLIENTS, []
    for run in runs:
        least = run.records * (SIZE + _NAME + OVERHEAD)
        rows += [
            Row(
                f"mass start, {clients} clients in {_PROCESSES} processes, {run.records:,} records, "
                "all begin and advertise at once",
                "shown",
                _text_of(run.start),
                held=True,
                beside=f"records, names and stats once: {least / 1e3:.0f} kB each",
            ),
            Row(
                "the same, server killed and started again, from the start of its process on",
                "each reads everything once: ≤ 1.25 × its bytes",
                f"{_text_of(run.reconnect)} = {run.reconnect.received / least:.2f} ×",
                run.reconnect.received <= 1.25 * least,
                f"waits up to min(2 s, N × 0.5 ms) = {min(2, run.records * 5e-4):.2f} s first",
            ),
        ]
    return [*rows, *_extrapolated(*runs)]


def _text_of(step: _Step) -> str:
    return (
        f"{step.seconds:.2f} s; a client: {milliseconds(step.cpu)} CPU, {step.received / 1e3:.0f} kB; "
        f"the server for each: {milliseconds(step.server)} CPU"
    )


def _extrapolated(small: _Run, large: _Run) -> list[Row]:
    """What a reconnect takes by the straight line through both runs, for other numbers."""
    between = large.records - small.records

    def line(at: float, further: float) -> tuple[float, float]:
        slope = (further - at) / between
        return max(0.0, at - slope * small.records), slope

    fixed, each = line(small.reconnect.cpu, large.reconnect.cpu)
    served_fixed, served_each = line(small.reconnect.server, large.reconnect.server)
    carried = large.reconnect.received / large.records
    model = (
        "; by the model: min(2 s, N × 0.5 ms) + a client's CPU, which is "
        f"{fixed * 1e3:.2g} ms + N × {each * 1e6:.2g} µs, + the greater of the server's CPU on 2 cores, "
        f"C × ({served_fixed * 1e3:.2g} ms + N × {served_each * 1e6:.2g} µs) / 2, "
        f"and C × N × {carried:.0f} bytes at 1 Gb/s"
    )
    rows = []
    for clients, records in ((100, 100), (100, 10_000), (1000, 1000)):
        client = fixed + each * records
        served = clients * (served_fixed + served_each * records)
        volume = clients * records * carried
        wire = volume / _NETWORK
        seconds = min(2.0, records * 5e-4) + client + max(served / 2, wire)
        rows.append(
            Row(
                f"reconnect of C = {clients:,} clients, each on a separate machine, N = {records:,} records, "
                f"extrapolated{model}",
                "shown",
                f"{seconds:.2f} s; a client: {milliseconds(client)} CPU; the server: {served:.2f} s CPU; "
                f"{volume / 1e6:.0f} MB in all, {wire:.2f} s",
                held=True,
            )
        )
        model = ", by the same model"
    return rows
