"""Builders that the tests share: records and a clock that stands still."""

import json

from peerage.registry import Record


class Clock:
    """Monotonic time that advances only when a test sets ``now``, or by ``cost`` at each reading."""

    def __init__(self, now: float = 1000.0, cost: float = 0.0) -> None:
        self.now = now
        self.cost = cost

    def __call__(self) -> float:
        self.now += self.cost
        return self.now


def record(name: str, sequence: int = 1, *, data: bytes | None = None, **fields: object) -> Record:
    """Return a record of an instance of ``orders``.

    Args:
        name: of the record; also its instance id.
        sequence: when it was made, relative to others.
        data: its bytes, instead of the JSON built here.
        fields: further fields of the JSON, or other values of the default ones.
    """
    content = {
        "host": "node-1",
        "instance_id": name,
        "service_id": "orders",
        "web": [["0.0.0.0", 80]],
        **fields,
    }
    return Record(name, json.dumps(content).encode() if data is None else data, sequence)
