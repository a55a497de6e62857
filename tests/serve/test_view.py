"""The view of a directory: what it says when it can't go on, and its log of events."""

import asyncio
import logging

import pytest
from tests.support import record

from peerage.backends.memory import open_memory
from peerage.directory import Directory
from peerage.membership import Membership
from peerage.serve import View, view
from peerage.serve.feed import Feed
from peerage.testing import eventually


@pytest.fixture
async def registry():
    registry = open_memory("memory:view")
    yield registry
    await registry.aclose()


@pytest.fixture
async def membership(registry):
    membership = Membership(registry, Directory())
    membership.start()
    await membership.wait_ready()
    yield membership
    await membership.aclose()


def kinds(feed):
    return [event.text.split(b"event: ")[1].split(b"\n")[0].decode() for event in feed.after(0)]


async def test_what_is_known_is_stale_once_nothing_follows_the_registry(registry, membership):
    """Whether the Discovery was closed or only its registry; the rows stay."""
    async with View(membership) as shown:
        registry.advertise("A", record("a").data)
        await eventually(shown.rows)
        assert shown.status()["stale"] is None
        await membership.aclose()
        await eventually(lambda: shown.status()["stale"])
        assert "closed" in shown.status()["stale"]
        assert shown.status()["age"] >= 0
        await eventually(shown.timeline.moments)
        assert kinds(shown.feed)[-2:] == ["status", "timeline"]
        assert len(shown.rows()) == 1
        assert not shown.failed


async def test_a_view_that_can_not_go_on_says_so(membership, registry, monkeypatch, caplog):
    """A page that went on showing the same would be taken for a quiet cluster."""
    async with View(membership) as shown:
        await eventually(lambda: shown.feed.last)
        assert not shown.failed
        monkeypatch.setattr(view, "row", lambda *_: 1 / 0)
        with caplog.at_level(logging.ERROR):
            registry.advertise("A", record("a").data)
            await eventually(lambda: shown.failed)
        assert [each.name for each in caplog.records if each.name != "asyncio"] == ["peerage.serve.view"]
        assert shown.feed.closed


async def test_the_age_grows_while_the_registry_is_out_of_reach(registry, membership):
    """And the time as of which the rows are certain stays, whatever is asked when."""
    now = 5000.0
    async with View(membership, clock=lambda: now) as shown:
        registry.lose("cut")
        await membership.wait_stale()
        first = shown.status()
        await asyncio.sleep(0.02)
        second = shown.status()
        assert (first["stale"], first["now"]) == ("cut", now)
        assert second["age"] > first["age"]
        assert second["as_of"] == now - second["age"]
        registry.restore()
        await membership.wait_in_touch()
        await eventually(lambda: [each.what for each in shown.timeline.moments()] == ["lost", "found"])


async def test_touch_that_never_was_is_not_lost():
    """A server that is started during an outage shows when the registry came."""
    registry = open_memory("memory:never")
    registry.lose("cut")
    membership = Membership(registry, Directory())
    async with View(membership) as shown:
        membership.start()
        await eventually(lambda: shown.status()["stale"] == "cut")
        registry.restore()
        await membership.wait_ready()
        await eventually(lambda: [each.what for each in shown.timeline.moments()] == ["found"])
    await membership.aclose()
    await registry.aclose()


async def test_a_change_that_no_row_shows_is_no_event(registry, membership):
    """A service may write its load into its record every second."""
    async with View(membership) as shown:
        owned = registry.advertise("A", record("a").data)
        await eventually(shown.rows)
        last = shown.feed.last
        owned.update(record("a", load=0.5).data)
        registry.advertise("B", record("b").data)
        await eventually(lambda: len(shown.rows()) == 2)
        assert kinds(shown.feed)[last:] == ["timeline", "put"]


async def test_a_feed_remembers_a_bounded_part():
    """Of events that are large as well; a place that is forgotten is none."""
    feed = Feed()
    for _ in range(100):
        feed.append("put", b"x" * 100_000)
    assert len(feed.after(feed.last - 39)) == 39
    assert feed.after(feed.last - 40) is None
    assert feed.after(feed.last) == []
    assert feed.after(feed.last + 1) is None
    for _ in range(5000):
        feed.append("put", b"x")
    assert len(feed.after(feed.last - 4096)) == 4096
    assert feed.after(feed.last - 4097) is None


@pytest.mark.parametrize(
    "last", ["", "5", "-5", "{run}", "{run}-", "{run}--1", "{run}-x", "{run}-²", "other-5"]
)
async def test_an_id_of_another_run_is_none(last):
    feed = Feed()
    run = feed.id(5).removesuffix("-5")
    assert feed.number(feed.id(5)) == 5
    assert feed.number(last.replace("{run}", run)) is None
    assert feed.number(f"{run}-{'9' * 5000}") is None
