"""Where the command line meets asyncio: signals, exit codes, errors as one sentence, log messages."""

import asyncio
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO

from peerage.cli.text import multiline
from peerage.errors import (
    ConfigurationError,
    MissingExtraError,
    NotDiscoveredError,
    NotReadyError,
    PeerageError,
    RegistryError,
)

__all__ = ["CommandError", "Exit", "complain", "first_of", "run"]

#: Seconds after a signal in which a command closes what it has opened.
GRACE: Final = 3.0


class Exit(IntEnum):
    """What the exit code of a command says; ended by a signal it is 128 + its number, 130 for Ctrl-C."""

    OK = 0
    NO = 1
    """It worked, and the answer is no: nobody matches, status 404, a call of the demo failed."""
    USAGE = 2
    NOT_DISCOVERED = 3
    UNREACHABLE = 4
    """It is known, but no instance could be reached or answered in time."""
    REGISTRY = 5
    """The registry is out of reach or refuses."""


class CommandError(Exception):
    """A command can't go on; the message says why.

    Args:
        message: a sentence.
        code: the exit code.
    """

    def __init__(self, message: str, code: int = Exit.NO) -> None:
        super().__init__(message)
        self.code = code


def run(command: Callable[[], Coroutine[Any, Any, int]], *, quiet: bool = True) -> int:
    """Run *command* to its end, or until a signal ends it, and return the exit code.

    Args:
        command: makes the coroutine whose result is the exit code. Itself it may wait for stdin, which inside
            of a coroutine no signal could break off.
        quiet: don't report that the registry is out of touch: the command ends with an error that says so.
    """
    _set_up_streams(quiet=quiet)
    ending = _Ending()
    try:
        coroutine = command()
        with asyncio.Runner() as runner, ending:
            code = runner.run(ending.guard(coroutine))
        sys.stdout.flush()
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 128 + (ending.signal or signal.SIGINT)
    except CommandError as error:
        complain(str(error))
        return error.code
    except PeerageError as error:
        complain(str(error))
        return _code(error)
    except OSError as error:
        _forget_stdout()
        if error.errno == errno.EPIPE:
            return 128 + signal.SIGPIPE
        complain(f"{error.strerror or error}: {error.filename or 'the output'}")
        return Exit.NO
    return code


async def first_of(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all *parts* until one ends, and raise what it raised; the others are cancelled."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def complain(sentence: str) -> None:
    """Write *sentence* to stderr, as this command's."""
    sys.stderr.write(f"peerage: {multiline(sentence)}\n")
    sys.stderr.flush()


def _code(error: PeerageError) -> int:
    match error:
        case MissingExtraError():
            return Exit.NO
        case ConfigurationError():
            return Exit.USAGE
        case NotDiscoveredError():
            return Exit.NOT_DISCOVERED
        case NotReadyError() | RegistryError():
            return Exit.REGISTRY
        case _:
            return Exit.UNREACHABLE


class _Ending:
    """Ends the command by a signal: the first one cancels it, a second one breaks off.

    The last resort is an alarm: a write to a pipe that nobody reads can't be cancelled.
    """

    SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.signal: int | None = None
        self._task: asyncio.Task[int] | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in self.SIGNALS:
            # Who started it with nohup doesn't want it to end then.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._on_signal)
        self._handlers[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_alarm)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    async def guard(self, command: Coroutine[Any, Any, int]) -> int:
        """Run *command*; a signal from now on cancels it."""
        self._task = asyncio.current_task()
        if self.signal is not None:
            command.close()
            raise asyncio.CancelledError
        return await command

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        signal.setitimer(signal.ITIMER_REAL, GRACE)
        if self._task is not None:
            self._task.cancel()
            # A handler runs between two instructions and wakes nobody who waits for a socket.
            self._task.get_loop().call_soon_threadsafe(lambda: None)

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        os._exit(128 + (self.signal or signal.SIGINT))


def _set_up_streams(*, quiet: bool) -> None:
    # Started with a stream closed, which Python shows as None: what would be written there is for nobody.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character gets it spelled out, not a traceback.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # what Python opens at its start is a TextIOWrapper
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("peerage: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # 'peerage ls' shows what records are wrong; to the others it's no news.
    logging.getLogger("peerage.directory").setLevel(logging.ERROR)
    if quiet:
        logging.getLogger("peerage.follow").setLevel(logging.ERROR)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


class _ToStderr(logging.Handler):
    """Writes to what is ``sys.stderr`` then: a live table puts itself in its place, to stay below."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{multiline(self.format(record))}\n")


def _forget_stdout() -> None:
    """Keep the interpreter from complaining, as it ends, that it can't flush what nobody reads."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
