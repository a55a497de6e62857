"""Beside the original: calling by name, three instances found through the same ZooKeeper."""

import statistics
from collections import Counter
from typing import Any, Final

from benchmarks.driver import LIBRARIES, OURS, THEIRS, Process, fixture, started
from benchmarks.report import Row
from peerage.testing.zookeeper import ZooKeeperServer

_NAME: Final = "http://orders.service_id.asab/"
_PATH: Final = "calls"

#: Blocks, of which the first two warm up, and requests of each.
_BLOCKS: Final = 20
_REQUESTS: Final = {1: 120, 50: 300}

_SPREAD: Final = 3000


def measure(server: ZooKeeperServer) -> list[Row]:
    """Every row of this part."""
    with fixture("serve", "3") as answering, fixture("keep", server.address) as keeper:
        ports = answering.hear()
        # An address, so that no name must be resolved, which the original does for each connection.
        records = [
            {
                "host": "127.0.0.1",
                "instance_id": f"orders-{number}",
                "service_id": "orders",
                "web": [["0.0.0.0", port]],  # noqa: S104 - a notation of the record
            }
            for number, port in enumerate(ports)
        ]
        keeper.ask("put", _PATH, records)
        with started(OURS, server.address) as ours, started(THEIRS, server.address) as theirs:
            processes = {OURS: ours, THEIRS: theirs}
            for process in processes.values():
                process.ask("open", _PATH)
            fixed = f"http://127.0.0.1:{ports[0]}/"
            rows = [
                row
                for workers in _REQUESTS
                for row in (_shared(processes, fixed, workers), _per_request(processes, fixed, workers))
            ]
            return [*rows, _spread_of(processes)]


def _blocks(
    processes: dict[str, Process], fixed: str, workers: int, *, lasting: bool
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Call by name and by a fixed URL, both libraries in turn; blocks of each."""
    answers: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for block in range(_BLOCKS + 2):
        for library, process in processes.items():
            for url in (fixed, _NAME):
                answer = process.ask("call", url, workers, _REQUESTS[workers], lasting)
                if block >= 2:
                    answers.setdefault((library, url), []).append(answer)
    return answers


def _each(blocks: list[dict[str, Any]], what: str, workers: int) -> float:
    """Return the median of one request."""
    return statistics.median(block[what] for block in blocks) / _REQUESTS[workers]


def _shared(processes: dict[str, Process], fixed: str, workers: int) -> Row:
    answer = _blocks(processes, fixed, workers, lasting=True)
    over = {
        library: _each(answer[library, _NAME], "cpu", workers) - _each(answer[library, fixed], "cpu", workers)
        for library in LIBRARIES
    }
    wall = {library: _each(answer[library, _NAME], "wall", workers) for library in LIBRARIES}
    least = {library: _each(answer[library, fixed], "wall", workers) for library in LIBRARIES}
    text = {
        library: f"{over[library] * 1e6:.1f} µs; {wall[library] * 1e6:.0f} µs in all, "
        f"fixed URL {least[library] * 1e6:.0f} µs"
        for library in LIBRARIES
    }
    return Row(
        f"request by name over a fixed URL, one shared session, 3 instances, {_workers(workers)}, "
        "beside asab",
        "≤ 35 µs client CPU" if workers == 1 else "shown",
        text[OURS],
        workers != 1 or over[OURS] <= 35e-6,
        f"asab, which calls one of the three: {text[THEIRS]}",
    )


def _per_request(processes: dict[str, Process], fixed: str, workers: int) -> Row:
    answer = _blocks(processes, fixed, workers, lasting=False)
    wall = {key: _each(blocks, "wall", workers) for key, blocks in answer.items()}
    ratio = wall[OURS, _NAME] / wall[THEIRS, _NAME]
    return Row(
        f"session per request by name, {_workers(workers)}, beside asab",
        "≤ 1/3 of asab's time",
        f"{wall[OURS, _NAME] * 1e6:.0f} µs = {ratio:.2f} ×",
        ratio <= 1 / 3,
        f"asab: {wall[THEIRS, _NAME] * 1e6:.0f} µs; aiohttp's own session per request, fixed URL: "
        f"{wall[THEIRS, fixed] * 1e6:.0f} µs",
    )


def _workers(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _spread_of(processes: dict[str, Process]) -> Row:
    cases = ((1, True), (1, False), (50, True), (50, False))
    text = {}
    worst = 1.0
    for library, process in processes.items():
        parts = []
        for workers, lasting in cases:
            answered = Counter(process.ask("call", f"{_NAME}?", workers, _SPREAD, lasting)["answered"])
            counts = sorted([*answered.values(), 0, 0, 0], reverse=True)[:3]
            parts.append("/".join(map(str, counts)))
            if library == OURS:
                worst = max(worst, counts[0] / max(1, counts[-1]))
        text[library] = ", ".join(parts)
    return Row(
        f"spread of {_SPREAD:,} requests over 3 equal instances: one worker with one session, with a session "
        "per request; 50 workers likewise",
        "max/min ≤ 1.1",
        f"{text[OURS]}; worst {worst:.3f}",
        worst <= 1.1,
        f"asab: {text[THEIRS]}",
    )
