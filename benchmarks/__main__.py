"""Measure and print the table of budgets: ``python -m benchmarks [--only NAME] [--write FILE]``.

With ``--against FOLDER`` only this checkout beside another one is measured.
"""

import argparse
import sys
from pathlib import Path

from benchmarks import (
    against,
    changes,
    directory,
    draining,
    embedded,
    faults,
    growth,
    httpxcalls,
    load,
    original,
    outages,
    page,
    prometheus,
    refusals,
    scale,
    startup,
    thousands,
    tokens,
    zookeeper,
)
from benchmarks.report import Row, markdown

_PARTS = {
    "changes": changes.measure,
    "directory": directory.measure,
    "draining": draining.measure,
    "embedded": embedded.measure,
    "faults": faults.measure,
    "http": against.measure_requests,
    "httpx": httpxcalls.measure,
    "load": load.measure,
    "original": original.measure,
    "outages": outages.measure,
    "page": page.measure,
    "prometheus": prometheus.measure,
    "refusals": refusals.measure,
    "scale": scale.measure,
    "startup": startup.measure,
    "thousands": thousands.measure,
    "tokens": tokens.measure,
    "zookeeper": zookeeper.measure,
}

#: The marks around the generated part of docs/performance.md.
_BEGIN, _END = "<!-- the table -->\n", "<!-- end of the table -->\n"


def main() -> int:
    """Run the chosen parts; return 1 if a budget isn't met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=_PARTS, help="a part, may be repeated; all by default"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="replace the table in this file, and the picture beside it"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FOLDER",
        help="measure only this checkout beside another",
    )
    options = parser.parse_args()
    rows: list[Row] = against.measure(options.against) if options.against else []
    for name in () if options.against else options.only or _PARTS:
        sys.stderr.write(f"measuring: {name}\n")
        rows += _PARTS[name]()
    table = markdown(rows)
    sys.stdout.write(table)
    if options.write:
        text = options.write.read_text()
        head, _, rest = text.partition(_BEGIN)
        _, _, tail = rest.partition(_END)
        options.write.write_text(f"{head}{_BEGIN}{table}{_END}{tail}")
        growth.save(options.write.with_name("growth.json"), options.write.with_name("growth.svg"))
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
