"""The content of a directory as rows: for the table, the lines and the JSON of ``peerage ls``."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from peerage.cli.text import age, clean, shorten
from peerage.directory import Directory
from peerage.records.instance import Instance

__all__ = [
    "COLUMNS",
    "Listing",
    "cells",
    "entries",
    "entry_of",
    "listing",
    "problem_lines",
    "sort_key",
    "state_of",
]

#: The headings of what :func:`cells` returns.
COLUMNS = ("service", "instance", "host", "URLs", "appclass", "state", "since", "ids")

#: Ids that have a column of their own.
_SHOWN = ("service_id", "instance_id", "node_id")


class Listing(NamedTuple):
    """Everything the directory holds at one moment, sorted."""

    instances: list[Instance]
    """All readable records, superseded ones included."""
    hidden: frozenset[str]
    """Names of the records whose instance has a newer one."""
    problems: Mapping[str, tuple[str, ...]]
    """What couldn't be used, by the name of the record."""


def listing(directory: Directory) -> Listing:
    """Return what *directory* holds now."""
    visible = {instance.name for instance in directory.find()}
    instances = sorted(directory, key=sort_key)
    hidden = frozenset(instance.name for instance in instances if instance.name not in visible)
    return Listing(instances, hidden, dict(sorted(directory.problems.items())))


def sort_key(instance: Instance) -> tuple[str, str, str]:
    """Return where *instance* stands in a list."""
    return instance.service_id or "", instance.instance_id or "", instance.name


def state_of(instance: Instance) -> str:
    """Return the state of *instance* in a word or three."""
    if not instance.ephemeral:
        return "left by hand"
    if not instance.callable:
        return "not callable"
    return instance.state or "ready"


def cells(instance: Instance, now: datetime, *, hidden: bool = False) -> tuple[str, ...]:
    """Return one row of the table, ready for a terminal."""
    state = shorten(state_of(instance))
    return (
        shorten(instance.service_id or ""),
        shorten(instance.instance_id or ""),
        _host(instance),
        " ".join(clean(url) for url in sorted(instance.urls)),
        shorten(instance.appclass or ""),
        f"{state}, superseded" if hidden else state,
        age(_record(instance).get("launch_time"), now),
        shorten(" ".join(f"{key}={value}" for key, value in instance.advertised_ids() if key not in _SHOWN)),
    )


def _record(instance: Instance) -> dict[str, Any]:
    try:
        return instance.record()
    except ValueError:
        # It could be read when it arrived, but it is nested too deeply for the stack of this caller.
        return {}


def _host(instance: Instance) -> str:
    node, host = shorten(instance.node_id or ""), shorten(instance.host or "")
    return f"{node} ({host})" if node and host and node != host else node or host


def problem_lines(problems: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield one line for each record that can't be used as it is, ready for a terminal."""
    for node, sentences in problems.items():
        yield f"{shorten(node)}: {shorten(' '.join(sentences), 400)}"


def entry_of(instance: Instance, problems: Sequence[str], *, hidden: bool = False) -> dict[str, Any]:
    """Return what is known of *instance*, for programs.

    Args:
        instance: the instance.
        problems: what couldn't be used of its record.
        hidden: whether it is superseded.
    """
    return {
        "node": instance.name,
        "state": state_of(instance),
        "hidden": hidden,
        "urls": sorted(instance.urls),
        "problems": problems,
        "record": _record(instance),
    }


def entries(found: Listing) -> Iterator[dict[str, Any]]:
    """Yield what is known of each record, for programs; the ones that can't be read at all come last."""
    readable = set()
    for instance in found.instances:
        readable.add(instance.name)
        problems = found.problems.get(instance.name, ())
        yield entry_of(instance, problems, hidden=instance.name in found.hidden)
    for node, problems in found.problems.items():
        if node not in readable:
            yield {
                "node": node,
                "state": "unusable",
                "hidden": False,
                "urls": [],
                "problems": problems,
                "record": None,
            }
