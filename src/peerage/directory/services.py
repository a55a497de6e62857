"""The rows of a directory, counted for each service."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from peerage.directory.listing import Row
from peerage.records.text import as_json


@dataclass(slots=True)
class _Service:
    """What is counted of one service."""

    name: str | None
    instances: int = 0
    superseded: int = 0
    attention: int = 0
    states: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    spelling: dict[str, Any] = field(default_factory=dict)
    nodes: set[str] = field(default_factory=set)

    def add(self, row: Row) -> None:
        if row.superseded:
            self.superseded += 1
            return
        summary = row.summary()
        self.instances += 1
        self.states[row.state] += 1
        self.attention += bool(summary["attention_required"])
        if (version := summary["version"]) is not None:
            key = as_json([version])
            self.versions[key] += 1
            self.spelling[key] = version
        if (node := summary["node"]) is not None:
            self.nodes.add(node)

    def entry(self) -> dict[str, Any]:
        versions = sorted(self.versions.items())
        return {
            "service": self.name,
            "instances": self.instances,
            "states": dict(sorted(self.states.items())),
            "versions": [{"version": self.spelling[key], "instances": count} for key, count in versions],
            "mixed_versions": len(versions) > 1,
            "nodes": sorted(self.nodes),
            "attention_required": self.attention,
            "superseded": self.superseded,
        }


class Services:
    """Counts rows; unreadable ones belong to no service.

    Names that differ in case only are one service, as in a URL, in the spelling of the first one.
    """

    def __init__(self) -> None:
        self._services: dict[str | None, _Service] = {}

    def add(self, row: Row) -> None:
        """Count one row."""
        if row.instance is None:
            return
        folded = next((value for key, value in row.instance.ids if key == "service_id"), None)
        service = self._services.get(folded)
        if service is None:
            service = self._services[folded] = _Service(row.instance.service_id)
        service.add(row)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield an entry for each service, as values of JSON, sorted by name; records without one are last.

        ``instances`` counts those that aren't ``superseded``, and ``states``, ``versions``, ``nodes`` and
        ``attention_required`` (how many require it) are about these.
        """
        ordered = sorted(self._services.items(), key=lambda item: (item[0] is None, item[0] or ""))
        return (service.entry() for _, service in ordered)
