"""What a membership saves, and what it makes of it at the next start."""

import asyncio
import logging
import threading
from contextlib import asynccontextmanager

import pytest
from tests.support import Clock, record

from peerage.backends.feed import Feed
from peerage.directory import Directory, Guard
from peerage.disk_cache import DiskCache
from peerage.disk_cache import cache as disk_cache
from peerage.disk_cache.files import CacheFile
from peerage.disk_cache.format import Moment
from peerage.membership import Membership
from peerage.registry import Health
from peerage.testing import eventually

URL = "test://somewhere"
ORDERS = (("service_id", "orders"),)


class Source:
    """A registry whose feed the test fills."""

    url = URL

    def __init__(self):
        self.feed = Feed(lambda _: None)

    def watch(self):
        return self.feed

    async def inspect(self):
        return Health(URL, "connected", 0.0, writable=True)


class Setting:
    """A registry, and processes that are started one after the other, with one disk cache."""

    def __init__(self, parent):
        self.parent = parent
        self.now = 0.0
        self.clock = Clock()
        self.boot = "boot"

    def moment(self):
        return Moment(self.boot, self.now, 1e9 + self.now)

    @property
    def file(self):
        return CacheFile([str(self.parent)], "x.cache")

    @asynccontextmanager
    async def process(self, reason=None):
        """Start one; *reason* is why it doesn't reach the registry."""
        source = Source()
        cache = DiskCache(URL, self.file, moment=self.moment)
        directory = Directory(guard=Guard(), clock=self.clock)
        membership = Membership(source, directory, clock=self.clock, disk_cache=cache)
        membership.registry = source
        if reason is not None:
            source.feed.stale(reason)
        membership.start()
        yield membership
        await membership.aclose()

    async def saved(self, *records):
        """Run a process that knows *records* until they are saved."""
        before = self.file.read()
        async with self.process() as process:
            process.registry.feed.snapshot(records)
            await eventually(lambda: self.file.read() != before)


@pytest.fixture
def setting(parent):
    return Setting(parent)


def names(membership):
    return sorted(membership.directory.names())


async def test_what_was_known_is_known_again(setting, caplog):
    """With its age, which is that of the file; the log says so."""
    await setting.saved(record("a"), record("b", 2))
    setting.now += 120
    async with setting.process("refused") as process:
        await process.wait_ready()
        assert names(process) == ["a", "b"]
        assert process.directory.unconfirmed == {"a", "b"}
        assert (process.stale, process.age) == ("refused", 120)
        setting.clock.now += 5
        assert process.age == 125
    assert "2 records are known from the disk cache, saved 120 s ago" in caplog.text


async def test_it_isnt_loaded_while_the_registry_answers(setting):
    """Nor when it is lost later: what was read is newer."""
    await setting.saved(record("a"))
    async with setting.process() as process:
        process.registry.feed.snapshot([record("b")])
        await process.wait_ready()
        process.registry.feed.stale("lost")
        await process.wait_stale()
        process.registry.feed.put(record("c"), new=True)
        await eventually(lambda: names(process) == ["b", "c"])


async def test_the_registry_decides_when_it_is_back(setting):
    """What it has is confirmed, which is no change; the rest goes as records that vanish."""
    await setting.saved(*(record(name, service_id=name, web=[["0.0.0.0", ord(name)]]) for name in "ab"))
    async with setting.process("refused") as process:
        await process.wait_ready()
        events = []
        process.directory.subscribe(events.append)
        a = record("a", service_id="a", web=[["0.0.0.0", ord("a")]])
        process.registry.feed.snapshot([a])
        await eventually(lambda: process.stale is None)
        assert process.age == 0
        ((before, after),) = events
        assert (before.name, after.suspect) == ("b", True)
        assert not process.directory.unconfirmed
        process.directory.refused("b")
        assert names(process) == ["a"]


async def test_suspects_are_saved_as_suspects(setting):
    """A registry that came back empty isn't believed after a restart either."""
    async with setting.process() as process:
        process.registry.feed.snapshot([record("a")])
        await process.wait_ready()
        process.registry.feed.snapshot([])
        await eventually(lambda: process.directory.get("a").suspect)
        await eventually(lambda: setting.file.read() is not None)
    async with setting.process("refused") as process:
        await process.wait_ready()
        assert process.directory.get("a").suspect
        assert process.directory.urls(ORDERS)
        assert process.directory.guard.expiry == setting.clock.now + 300


async def test_nothing_is_saved_out_of_touch(setting):
    """What was saved before is newer than what is left."""
    await setting.saved(record("a"))
    before = setting.file.read()
    async with setting.process("refused") as process:
        await process.wait_ready()
        process.directory.remove("a", withdrawn=True)
        process.registry.feed.put(record("b"), new=True)
        await eventually(lambda: "b" in process.directory.names())
        assert process._to_save() is None
    assert setting.file.read() == before


async def test_only_changes_are_saved(setting, monkeypatch):
    """And every ten minutes, so that the age says when the registry was in touch last."""
    writes = []
    write = CacheFile.write
    monkeypatch.setattr(CacheFile, "write", lambda self, chunks: writes.append(1) or write(self, chunks))
    async with setting.process() as process:
        process.registry.feed.snapshot([record("a")])
        await eventually(lambda: writes)
        process.registry.feed.snapshot([record("a")])
        process.registry.feed.put(record("b"), new=True)
        await eventually(lambda: len(writes) == 2)
        process.registry.feed.snapshot([record("a"), record("b")])
        process.registry.feed.stale("lost")
        await process.wait_stale()
        assert not process._disk_cache._changed.is_set()
    monkeypatch.setattr(disk_cache, "_REFRESH", 0.01)
    async with setting.process() as process:
        process.registry.feed.snapshot([])
        await process.wait_ready()
        await eventually(lambda: len(writes) > 4)


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [(24 * 3600 + 1, "24 hours old"), (-61, "from the future"), (-59, None), (86_000, None)],
)
async def test_how_old_it_may_be(setting, caplog, seconds, reason):
    """After a reboot the clock of the machine decides."""
    await setting.saved(record("a"))
    setting.now += seconds
    setting.boot = "the next boot"
    async with setting.process("refused") as process:
        if reason is None:
            await process.wait_ready()
            assert process.age == max(0, seconds)
        else:
            await eventually(lambda: "isn't used" in caplog.text)
            assert reason in caplog.text
            assert not process.ready


async def test_a_damaged_file_is_ignored_and_replaced(setting, caplog):
    """With one line; the next snapshot is saved."""
    setting.file.write([b"garbage\n"])
    async with setting.process("refused") as process:
        await eventually(lambda: "isn't used" in caplog.text)
        process.registry.feed.stale("refused again")
        process.registry.feed.snapshot([record("a")])
        await process.wait_ready()
        await eventually(lambda: setting.file.read() != b"garbage\n")
    (line,) = [each.getMessage() for each in caplog.records if "isn't used" in each.getMessage()]
    assert "isn't a file of peerage" in line
    assert "It is replaced" in line
    async with setting.process("refused") as process:
        await process.wait_ready()
        assert names(process) == ["a"]


async def test_a_failure_to_save_is_one_line(setting, monkeypatch, caplog):
    """Everything else goes on, and so does saving once it is possible."""
    monkeypatch.setattr(disk_cache, "_AFTER_FAILURE", 0.01)
    setting.parent.write_text("a file where a folder is needed")
    caplog.set_level(logging.WARNING)
    async with setting.process() as process:
        attempts = []
        write = process._disk_cache._file.write
        process._disk_cache._file.write = lambda chunks: attempts.append(1) or write(chunks)
        process.registry.feed.snapshot([record("a")])
        await process.wait_ready()
        await eventually(lambda: len(attempts) > 3)
        (line,) = [each for each in caplog.messages if "can't be saved" in each]
        assert "PEERAGE_DISK_CACHE" in line
        setting.parent.unlink()
        await eventually(lambda: setting.file.read() is not None)


async def test_an_unexpected_failure_to_save_is_logged_and_tried_again(setting, monkeypatch, caplog):
    """Once, with its traceback."""
    monkeypatch.setattr(disk_cache, "_AFTER_FAILURE", 0.01)
    failures = [ZeroDivisionError("a bug")] * 3
    write = CacheFile.write

    def fail(file, chunks):
        if failures:
            raise failures.pop()
        return write(file, chunks)

    monkeypatch.setattr(CacheFile, "write", fail)
    async with setting.process() as process:
        process.registry.feed.snapshot([record("a")])
        await eventually(lambda: setting.file.read() is not None)
    (line,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "which is a bug" in line.getMessage()
    assert line.exc_info


async def test_a_disk_that_hangs_delays_nothing_but_the_start(setting, monkeypatch, caplog):
    """The registry is read after a second, and closing doesn't wait for it."""
    monkeypatch.setattr(disk_cache, "_READ_TIMEOUT", 0.01)
    works = threading.Event()
    for name in ("read", "write"):
        monkeypatch.setattr(CacheFile, name, lambda *_: works.wait())
    async with setting.process("refused") as process:
        await eventually(lambda: "takes too long" in caplog.text)
        process.registry.feed.snapshot([record("a")])
        await process.wait_ready()
        await eventually(lambda: process._disk_cache._writing is not None)
    works.set()


async def test_a_wait_that_is_cancelled_leaves_nothing(setting):
    """Closed while it is read, and while it is written."""
    await setting.saved(record("a"))
    for reason in ("refused", None):
        async with setting.process(reason) as process:
            if reason is None:
                process.registry.feed.snapshot([record("b")])
            await asyncio.sleep(0)
