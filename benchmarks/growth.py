"""How costs grow with the number of records, drawn: ``python -m benchmarks.growth FIGURES.json PICTURE.svg``.

The figures are those of the last run written; the table of budgets has them as well.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.driver import OURS, THEIRS
from benchmarks.records import SIZE

__all__ = ["LIMIT", "draw", "note", "save", "value"]

#: The least possible work, drawn beside both libraries.
LIMIT: Final = "bare limit"

_Figures = dict[str, dict[str, dict[int, float]]]

_figures: Final[_Figures] = {}


@dataclass(frozen=True, slots=True)
class _Panel:
    what: str
    title: str
    unit: str
    scale: float
    limit: str


_PANELS: Final = (
    _Panel("sync", "First sync", "ms", 1e3, "blocking socket, json.loads"),
    _Panel("change", "One change by another process", "ms until found", 1e3, "blocking socket, one read"),
    _Panel("memory", "Memory of a client", "MB of RSS", 1e-6, f"the records, {SIZE} bytes each"),
)

#: Distinguished without colours: by shade, stroke and mark.
_LOOKS: Final = {
    OURS: {"color": "#111111", "linestyle": "-", "marker": "o", "linewidth": 2.2},
    THEIRS: {"color": "#666666", "linestyle": "--", "marker": "s", "linewidth": 1.8},
    LIMIT: {"color": "#999999", "linestyle": ":", "marker": "^", "linewidth": 1.5},
}


def note(what: str, library: str, size: int, figure: float) -> None:
    """Keep a figure of this run."""
    _figures.setdefault(what, {}).setdefault(library, {})[size] = figure


def value(what: str, library: str, size: int) -> float:
    """Return one noted before."""
    return _figures[what][library][size]


def save(figures: Path, picture: Path) -> None:
    """Write what was noted, and the picture of it; nothing if nothing was."""
    if _figures:
        rounded = {
            what: {
                library: {str(size): float(f"{each:.4g}") for size, each in line.items()}
                for library, line in lines.items()
            }
            for what, lines in _figures.items()
        }
        figures.write_text(json.dumps(rounded, indent=2, sort_keys=True) + "\n")
        try:
            draw(figures, picture)
        except ModuleNotFoundError as error:
            sys.stderr.write(
                f"{picture} isn't drawn anew: {error}. `make bench` installs it; then draw it by "
                f"`python -m benchmarks.growth {figures} {picture}`.\n"
            )


def draw(figures: Path, picture: Path) -> None:
    """Draw the same figures to the same bytes."""
    import matplotlib as mpl  # noqa: PLC0415 - only the picture needs it

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after its backend is chosen

    known = json.loads(figures.read_text())
    plt.rcParams.update({"svg.hashsalt": "peerage", "font.size": 9, "axes.spines.top": False})
    plt.rcParams["axes.spines.right"] = False
    page, axes = plt.subplots(1, len(_PANELS), figsize=(10.5, 3.6), layout="constrained")
    for axis, panel in zip(axes, _PANELS, strict=True):
        lines = {library: dict(_points(line)) for library, line in known[panel.what].items()}
        if panel.what == "memory":
            lines[LIMIT] = {size: float(size * SIZE) for size in lines[OURS]}
        for library, look in _LOOKS.items():
            sizes = sorted(lines[library])
            label = panel.limit if library == LIMIT else library
            axis.plot(sizes, [lines[library][size] * panel.scale for size in sizes], label=label, **look)
        axis.set(xscale="log", yscale="log", xlabel="records", ylabel=panel.unit, title=panel.title)
        axis.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
        axis.set_xticks([100, 1000, 10_000], ["100", "1,000", "10,000"])
        axis.yaxis.set_major_formatter("{x:,g}")
        axis.minorticks_off()
        axis.legend(frameon=False, fontsize=8, loc="upper left")
        low, high = axis.get_ylim()
        axis.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
    page.savefig(picture, metadata={"Date": None, "Creator": None}, facecolor="white")


def _points(line: dict[str, float]) -> list[tuple[int, float]]:
    return [(int(size), each) for size, each in line.items()]


if __name__ == "__main__":
    draw(*map(Path, sys.argv[1:]))
