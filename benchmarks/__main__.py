"""Measure and print the table of budgets: ``python -m benchmarks [--only NAME] [--write FILE]``."""

import argparse
import sys
from pathlib import Path

from benchmarks import directory, embedded, growth, http, original, scale, startup, tokens, zookeeper
from benchmarks.report import Row, markdown

_PARTS = {
    "directory": directory.measure,
    "embedded": embedded.measure,
    "http": http.measure,
    "original": original.measure,
    "scale": scale.measure,
    "startup": startup.measure,
    "tokens": tokens.measure,
    "zookeeper": zookeeper.measure,
}

#: What the generated part of docs/performance.md stands between.
_BEGIN, _END = "<!-- the table -->\n", "<!-- end of the table -->\n"


def main() -> int:
    """Run the parts asked for; 1 if a budget isn't held."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=_PARTS, help="a part, may be repeated; all by default"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="replace the table in this file, and the picture beside it"
    )
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.only or _PARTS:
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
