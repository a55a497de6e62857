"""Clients of the server-sent events, and what they know."""

import json
from typing import Any, NamedTuple


def strict(text: bytes | str) -> Any:
    """Return the JSON in *text*; ``NaN`` and ``Infinity``, which Python reads as well, are none."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} isn't JSON")

    return json.loads(text, parse_constant=refuse)


class Sent(NamedTuple):
    """One server-sent event."""

    kind: str
    data: Any
    id: str | None = None


def parsed(text: bytes) -> list[Sent]:
    """Return the events in *text*, as the HTML standard says; an unfinished one at the end is left out."""
    events = []
    for block in text.decode().split("\n\n")[:-1]:
        fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
        if "data" in fields:
            events.append(Sent(fields["event"], strict(fields["data"]), fields.get("id")))
    return events


class Known:
    """What a client knows that applies the events."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.timeline: list[Any] = []
        self.status: Any = None
        self.last = ""
        """The id of the last event."""

    def apply(self, events: list[Sent]) -> None:
        for kind, data, number in events:
            match kind:
                case "reset":
                    self.rows = {row["name"]: row for row in data["rows"]}
                    self.timeline, self.status = data["timeline"], data["status"]
                case "put":
                    self.rows[data["name"]] = data
                case "gone":
                    del self.rows[data["name"]]
                case "status":
                    self.status = data
                case "timeline":
                    self.timeline.append(data)
            self.last = number or self.last
