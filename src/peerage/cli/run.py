"""What all commands share: signals, exit codes, errors as one sentence, log messages, the registry."""

import asyncio
import errno
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO

from peerage.cli.text import multiline
from peerage.discovery import Discovery
from peerage.errors import (
    ConfigurationError,
    MissingExtraError,
    NotDiscoveredError,
    NotReadyError,
    PeerageError,
    RegistryError,
)
from peerage.waiting import first_of

#: Seconds after a signal in which a command closes what it has opened.
GRACE: Final = 3.0


class Exit(IntEnum):
    """The exit codes of all commands; ended by a signal it is 128 + its number, 130 for Ctrl-C."""

    OK = 0
    FAILED = 1
    """Anything else: a call of the demo failed, the output can't be written."""
    USAGE = 2
    """Wrong usage: an option, the URL of a registry, a variable of the environment."""
    NOT_DISCOVERED = 3
    """No instance matches, or none is known by that name."""
    UNREACHABLE = 4
    """Instances are known, but none could be reached, or answered in time."""
    REGISTRY = 5
    """The registry is out of reach, or refuses."""
    STATUS = 6
    """The service answered with a status of 400 or above."""
    MISSING_EXTRA = 7
    """An optional package isn't installed."""


class CommandError(Exception):
    """Ends a command with a message and an exit code."""

    def __init__(self, message: str, code: int = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


def run(command: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run *command* to its end, or until a signal ends it, and return the exit code.

    Args:
        command: makes the coroutine whose result is the exit code. It may read stdin before it returns the
            coroutine, because a signal couldn't interrupt that read inside a coroutine.
    """
    _set_up_streams()
    ending = _Ending()
    try:
        coroutine = command()
        with asyncio.Runner() as runner, ending:
            code = runner.run(ending.guard(coroutine))
        sys.stdout.flush()
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 128 + (ending.signal or signal.SIGINT)
    except (CommandError, PeerageError) as error:
        report(str(error))
        return _code(error)
    except OSError as error:
        # The interpreter flushes stdout at its end, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            return 128 + signal.SIGPIPE
        report(f"{error.strerror or error}: {error.filename or 'the output'}")
        return Exit.FAILED
    return code


@asynccontextmanager
async def opened(registry: str | None, timeout: float) -> AsyncIterator[Discovery]:  # noqa: ASYNC109 - the message names it
    """Open a registry, and wait until it was read; see :func:`read_registry`."""
    async with Discovery(registry) as discovery:
        await read_registry(discovery, timeout)
        yield discovery


async def read_registry(discovery: Discovery, timeout: float) -> None:  # noqa: ASYNC109 - the message names it
    """Wait until the registry was read once.

    Raises:
        CommandError: it refuses to be read, which waiting doesn't change.
        NotReadyError: it wasn't read within *timeout* seconds.
    """
    await first_of(discovery.ready(timeout), discovery.membership.wait_refused())
    if discovery.membership.refused and not discovery.membership.ready:
        reason = f"The registry {discovery.registry.url} can't be read: {discovery.stale}"
        raise CommandError(reason, Exit.REGISTRY)


def report(sentence: str) -> None:
    """Write *sentence* to stderr, with the name of the command."""
    sys.stderr.write(f"peerage: {multiline(sentence)}\n")
    sys.stderr.flush()


def _code(error: CommandError | PeerageError) -> int:
    match error:
        case CommandError():
            return error.code
        case MissingExtraError():
            return Exit.MISSING_EXTRA
        case ConfigurationError():
            return Exit.USAGE
        case NotDiscoveredError():
            return Exit.NOT_DISCOVERED
        case NotReadyError() | RegistryError():
            return Exit.REGISTRY
        case _:
            return Exit.UNREACHABLE


class _Ending:
    """Ends the command at a signal: the first one cancels it, a second one interrupts its closing.

    An alarm ends it in any case, because a write to a full pipe can't be cancelled.
    """

    SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.signal: int | None = None
        self._task: asyncio.Task[int] | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in self.SIGNALS:
            # A signal that is ignored stays so, as nohup wants it.
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
            # A signal handler doesn't wake the event loop, which may be waiting for a socket.
            self._task.get_loop().call_soon_threadsafe(lambda: None)

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        os._exit(128 + (self.signal or signal.SIGINT))


def _set_up_streams() -> None:
    # Python shows a stream that was closed at the start as None.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal can't show is spelled out.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # what Python opens at its start is a TextIOWrapper
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_ToStderr()])
    # 'peerage ls' shows unusable records, and a command that can't read the registry ends with the reason.
    logging.getLogger("peerage.directory").setLevel(logging.ERROR)
    logging.getLogger("peerage.outage_log").setLevel(logging.ERROR)


def show_outages() -> None:
    """From now on, log when the registry is out of touch, and when it is in touch again."""
    logging.getLogger("peerage.outage_log").setLevel(logging.WARNING)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


class _ToStderr(logging.Handler):
    """Writes to ``sys.stderr`` as it is at that moment: a live table replaces it, to stay below the lines."""

    def emit(self, record: logging.LogRecord) -> None:
        report(self.format(record))
