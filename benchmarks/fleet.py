"""A process with many child processes, for either library; its commands are lines of JSON."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any, TextIO

__all__ = ["fleet"]


def fleet(count: int, main: Callable[[TextIO, TextIO], None]) -> None:
    """Fork *count* processes from this one, which has loaded everything and begun nothing.

    They take the commands of :mod:`benchmarks.probe`. A line is ``[number, command, *arguments]``, or
    ``[null, command, arguments of each]`` for all; its answer is the list of theirs. At ``[number, "restart",
    *arguments]`` that process ends with ``leave``, and another one begins with ``join`` and the arguments.
    """
    children: list[_Child] = []
    for _ in range(count):
        children.append(_Child(main, children))
    for line in sys.stdin:
        number, command, *arguments = json.loads(line)
        if command == "restart":
            answers = [children[number].ask("leave")]
            children[number].end()
            others = [child for child in children if child is not children[number]]
            children[number] = _Child(main, others)
            children[number].ask("join", *arguments)
        elif number is not None:
            answers = [children[number].ask(command, *arguments)]
        else:
            for child, own in zip(children, arguments[0] if arguments else repeat([]), strict=False):
                child.tell(command, *own)
            answers = [child.hear() for child in children]
        sys.stdout.write(json.dumps(answers) + "\n")
        sys.stdout.flush()


class _Child:
    def __init__(self, main: Callable[[TextIO, TextIO], None], others: Iterable["_Child"]) -> None:
        lines, self._lines = os.pipe()
        self._answers, answers = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            # A pipe ends for its reader only when all processes have closed the writing end.
            for other in (self, *others):
                os.close(other._lines)
                os.close(other._answers)
            main(os.fdopen(lines), os.fdopen(answers, "w"))
            os._exit(0)
        os.close(lines)
        os.close(answers)
        self._hear = os.fdopen(self._answers, closefd=False)

    def tell(self, command: str, *arguments: Any) -> None:
        os.write(self._lines, (json.dumps([command, *arguments]) + "\n").encode())

    def hear(self) -> Any:
        return json.loads(self._hear.readline())

    def ask(self, command: str, *arguments: Any) -> Any:
        self.tell(command, *arguments)
        return self.hear()

    def end(self) -> None:
        os.close(self._lines)
        os.close(self._answers)
        os.waitpid(self._pid, 0)
