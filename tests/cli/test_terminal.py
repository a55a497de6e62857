"""The commands on a terminal."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from peerage.testing import eventually

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command on a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self.raw = ""

    async def shows(self, pattern: str) -> bool:
        """Read until it shows *pattern*, without escape sequences, or ends; return whether it did."""
        return await asyncio.to_thread(self._shows, pattern)

    def _shows(self, pattern: str) -> bool:
        while not re.search(pattern, _CONTROL.sub("", self.raw)):
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # Linux reports so that the last process has closed the terminal
                return False
            if not piece:
                return False
            self.raw += piece.decode(errors="replace")
        return True

    async def press_ctrl_c(self) -> int:
        """Type Ctrl-C, read the rest and return the exit code."""
        os.write(self._master, b"\x03")
        return await self.end()

    async def end(self) -> int:
        """Read the rest, and return the exit code."""
        await self.shows(r"(?!)")
        return await asyncio.to_thread(self.process.wait, 60)


@pytest.fixture
def terminal(monkeypatch) -> Iterator[Callable[..., Terminal]]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("LINES", "40")
    with ExitStack() as stack:

        def start(*args: str) -> Terminal:
            master, slave = pty.openpty()
            stack.callback(os.close, master)
            # Ctrl-C becomes a signal only in a session that has this terminal.
            process = subprocess.Popen(
                [sys.executable, "-c", _IN_SESSION, *args], stdin=slave, stdout=slave, stderr=slave
            )
            os.close(slave)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return Terminal(process, master)

        yield start


_IN_SESSION = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-W", "error", "-m", "peerage", *sys.argv[1:]])
"""


async def test_ls_draws_a_table(terminal, serve):
    await serve("shop-1")
    shown = terminal("ls")
    assert await shown.shows(r"service.*instance.*host.*URLs.*\n.*─.*\n.*shop +shop-1")
    assert await shown.end() == 0


async def test_ls_watch_is_live_until_ctrl_c(terminal, serve):
    shown = terminal("ls", "--watch")
    assert await shown.shows("No instance is advertised")
    service = await serve("shop-1")
    assert await shown.shows("shop-1 .*ready")
    await service.tell("drain")
    assert await shown.shows("shop-1 .*draining")
    assert await shown.press_ctrl_c() == 130
    assert "Traceback" not in shown.raw


async def test_markup_and_escape_sequences_in_a_record_are_shown_as_text(terminal, serve):
    await serve(
        "", json.dumps({"host": "h", "service_id": "[red]\x1b]0;pwned\x07[/]", "web": [["x", "\x1b[2J"]]})
    )
    shown = terminal("ls")
    assert await shown.shows(re.escape("[red]\\x1b]0;pwned\\x07[/]"))
    assert await shown.end() == 0
    assert "\x1b]0;" not in shown.raw
    assert "\x1b[2J" not in shown.raw


async def test_the_demo_is_live_until_ctrl_c(terminal):
    shown = terminal("demo")
    assert await shown.shows(r"pricing-1 +ready.*\n.*pricing-2 +ready.*\n.*pricing-3 +ready")
    assert await shown.shows(r"[1-9]\d* calls, \d+/s, 0 failed")
    assert await shown.press_ctrl_c() == 130
    assert "Traceback" not in shown.raw


async def test_the_live_demo_opens_its_page_where_there_is_a_display(terminal, tmp_path, monkeypatch):
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >{opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o700)
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setenv("BROWSER", f"{browser} %s &")
    shown = terminal("demo", "--page")
    assert await shown.shows(r"The page that shows the registry: http://127\.0\.0\.1:\d+/\s")
    await eventually(opened.exists)
    assert opened.read_text().strip() in shown.raw
    assert await shown.shows("Ctrl-C ends it")
    assert await shown.press_ctrl_c() == 130
    assert "Traceback" not in shown.raw


async def test_an_answer_ends_with_a_line_break_on_a_terminal(terminal, serve):
    """The shell's prompt begins a line; a pipe gets the bytes as they are."""
    await serve("shop-1")
    shown = terminal("get", "http://shop.service_id.asab/echo")
    assert await shown.end() == 0
    assert shown.raw.endswith("}\r\n")
