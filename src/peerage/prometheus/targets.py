"""The target groups of an instance, for Prometheus' HTTP service discovery; pure.

The source of the format is Prometheus' documentation, "Writing HTTP service discovery". A target is the
advertised ``host:port``, whatever else a record says: no label of a record becomes one that Prometheus itself
uses, because all begin with ``__meta_peerage_``. Which of them stay, and which path is asked, is up to the
relabelling rules of Prometheus' configuration.
"""

import re
from typing import Any, Final

from peerage.directory.listing import row_of
from peerage.records.addresses import authority
from peerage.records.instance import Instance
from peerage.records.text import shorten

#: What begins the name of each label.
PREFIX: Final = "__meta_peerage_"

#: Labels with one value, by the field of the row that they are taken from.
_FIELDS: Final = {
    "name": "record",
    "service": "service",
    "instance": "instance",
    "node": "node",
    "site": "site",
    "appclass": "appclass",
    "version": "version",
    "state": "state",
}

#: Characters that the name of a label can't have.
_IMPOSSIBLE: Final = re.compile(r"[^a-zA-Z0-9_]")


def target_groups(instance: Instance) -> list[dict[str, Any]]:
    """Return one group for each address and port of *instance*, in order; none if it can't be called.

    Draining instances and suspects are targets as long as they are known: their last figures are those that
    one wants to see.
    """
    if not instance.callable:
        return []
    labels = _labels(instance)
    places: dict[tuple[str, int], str | None] = {}
    for endpoint in instance.endpoints:
        # One that listens on both families is one target.
        places.setdefault((endpoint.host, endpoint.port), endpoint.scheme)
    return [
        {
            "targets": [authority(host, port)],
            "labels": {
                **labels,
                # Without it, the scheme is that of the configuration.
                **({} if scheme is None else {"__scheme__": scheme}),
                f"{PREFIX}host": host,
                f"{PREFIX}port": str(port),
                f"{PREFIX}endpoint": str(number),
            },
        }
        for number, ((host, port), scheme) in enumerate(places.items())
    ]


def sort_key(instance: Instance) -> str:
    """Return what the list is sorted by, so that it is the same as long as the instances are."""
    return "\0".join((instance.service_id or "", instance.instance_id or "", instance.name))


def _labels(instance: Instance) -> dict[str, str]:
    """Return the labels that all targets of *instance* have; empty ones are left out."""
    row = row_of(instance).summary()
    labels = {f"{PREFIX}{label}": _text(row[field]) for field, label in _FIELDS.items()}
    ids: dict[str, list[str]] = {}
    for key, values in row["ids"].items():
        # Several keys may become the same name.
        ids.setdefault(f"{PREFIX}id_{_IMPOSSIBLE.sub('_', key)}", []).extend(map(str, values))
    # Commas on both sides, even of one value, so that one expression finds it: .*,1,.*
    labels.update({label: f",{','.join(values)}," for label, values in ids.items()})
    return {label: value for label, value in labels.items() if value}


def _text(value: object) -> str:
    """Return the value of a field, which may be anything that JSON can say, as text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else shorten(value)
