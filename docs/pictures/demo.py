"""Runs ``peerage demo`` and draws what it prints: the picture in README.md. ``make pictures`` runs it.

Usage: python docs/pictures/demo.py FILE.svg

Each line appears at the time at which the demo printed it, and the picture begins anew after a while. Where
pictures don't move, or the reader wants none that do, all lines are there.
"""

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

#: Seconds of the demo, and seconds for which all of it stays.
_LENGTH = 6
_HOLD = 8

_WIDTH = 780
_LEFT, _TOP = 18, 56
_LINE = 19

#: The colour of a line that contains such words, the first that fits.
_COLOURS = (
    ("$ ", "#e6edf3"),
    ("No call failed", "#7ee787"),
    ("killing", "#ff7b72"),
    ("killed", "#ff7b72"),
    ("is gone", "#ff7b72"),
    ("joined", "#7ee787"),
    ("first answer", "#7ee787"),
    ("starting", "#79c0ff"),
    ("0 failed", "#e6edf3"),
)
_OTHER = "#9da7b3"

_STYLE = """
text { font: 13.5px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }
@media (prefers-reduced-motion: no-preference) { .line { animation: %(length).2fs step-end infinite } }
"""


def run_demo(python: str) -> Iterator[tuple[float, str]]:
    """Yield each line that the demo prints, after the number of seconds since its start."""
    command = [python, "-m", "peerage", "demo", "--seconds", str(_LENGTH)]
    begin = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:  # noqa: S603 - our own command
        assert demo.stdout is not None  # noqa: S101 - by stdout=PIPE
        for line in demo.stdout:
            yield time.monotonic() - begin, line.rstrip("\n")
    if demo.returncode:
        sys.exit(f"The demo ended with code {demo.returncode}.")


def draw(lines: Iterable[tuple[float, str]]) -> str:
    """Return the SVG of a terminal in which each line appears after its number of seconds."""
    shown = list(lines)
    length = shown[-1][0] + _HOLD
    styles, texts = [_STYLE % {"length": length}], []
    for number, (after, line) in enumerate(shown):
        # Hidden until its time has come; the first line always is there.
        if after > 0:
            styles.append(
                f"@keyframes l{number} {{ 0% {{ opacity: 0 }} {after / length:.2%} {{ opacity: 1 }} }}\n"
            )
        colour = next((colour for words, colour in _COLOURS if words in line), _OTHER)
        name = f' style="animation-name: l{number}"' if after > 0 else ""
        place = f'x="{_LEFT}" y="{_TOP + _LINE * number}"'
        texts.append(f'<text class="line" {place} fill="{colour}"{name}>{escape(line)}</text>')
    height = _TOP + _LINE * len(shown) + 4
    dots = "".join(
        f'<circle cx="{22 + 20 * number}" cy="20" r="6" fill="{colour}"/>'
        for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    title = "make demo: a shop calls three pricing services by name; one is killed, one joins, no call fails"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{title}</title>",
            f"<style>{''.join(styles)}</style>",
            f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#0d1117"/>{dots}',
            *texts,
            "</svg>\n",
        )
    )


def main() -> None:
    """Write the picture."""
    (path,) = sys.argv[1:]
    command = f'$ make demo ARGS="--seconds {_LENGTH}"'
    Path(path).write_text(draw([(0.0, command), *run_demo(sys.executable)]), encoding="utf-8")


if __name__ == "__main__":
    main()
