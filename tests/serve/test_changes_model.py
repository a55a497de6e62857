"""Clients of the changes against any order of what happens to the directory and to their connections."""

import asyncio
from contextlib import suppress
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.clients import Known, parsed, strict
from tests.support import record

from peerage.backends.feed import Feed as Watch
from peerage.directory import Directory, Guard
from peerage.directory.listing import listing
from peerage.membership import Membership
from peerage.records.text import as_json
from peerage.registry import Record
from peerage.serve import View, events, feed
from peerage.serve.events import HEARTBEAT, Events
from peerage.testing.clock import VirtualClock

RECORDS = st.builds(
    lambda name, data, **fields: record(name, data=data, **fields) if data else record(name, **fields),
    st.sampled_from(["A.1", "A.2", "A.3", "A.4"]),
    st.sampled_from([None, None, None, None, b"{", b"[" * 900 + b"]" * 900, b'{"version": NaN}']),
    sequence=st.integers(1, 9),
    instance_id=st.sampled_from(["1", "2", "\ud800", "x" * 2000]),
    version=st.sampled_from(["v1", 2, float("inf"), {"a": "\ud800"}]),
    peerage=st.sampled_from([{}, {"state": "draining"}]),
    web=st.sampled_from([[["0.0.0.0", 80]], None, "wrong"]),
)
CLIENTS = st.sampled_from([0, 1])
STEPS = st.one_of(
    st.tuples(st.just("put"), RECORDS),
    st.tuples(st.just("gone"), RECORDS),
    st.tuples(st.just("withdrawn"), RECORDS),
    st.tuples(st.just("snapshot"), st.lists(RECORDS, max_size=4, unique_by=lambda each: each.name)),
    st.tuples(st.just("confirmed"), st.none()),
    st.tuples(st.just("lost"), st.sampled_from(["no route", "refused"])),
    st.tuples(st.just("connect"), CLIENTS),
    st.tuples(st.just("disconnect"), CLIENTS),
    st.tuples(st.just("stall"), CLIENTS),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("sleep"), st.sampled_from([0, 0, 0, 0.03, 0.06, 40, 400])),
)


class Source:
    """A registry whose only watch the test fills."""

    url = "test:"

    def __init__(self):
        self.feed = Watch(lambda _: None)

    def watch(self):
        return self.feed

    async def inspect(self):
        return type("Health", (), {"session_timeout": 2.0})


class Client:
    """Follows the changes over a connection that may break or stall, and resumes."""

    def __init__(self):
        self.known = Known()
        self._text = b""
        self._flows = asyncio.Event()
        self._task = None

    async def write(self, data):
        await self._flows.wait()
        self._text += data

    def stall(self):
        self._flows.clear()

    async def connect(self, served):
        await self.disconnect()
        self._flows.set()
        self._task = asyncio.create_task(served._follow(self, self.known.last))

    async def disconnect(self):
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, TimeoutError):
                await self._task
            self.known.apply(parsed(self._text))
            self._text, self._task = b"", None


class Cluster:
    """A directory that follows a registry, a view of it, and clients."""

    def __init__(self):
        self.source = Source()
        self.directory = Directory(guard=Guard())
        self.membership = Membership(self.source, self.directory)
        self.view = View(self.membership)
        self.events = Events(self.view)
        self.clients = Client(), Client()
        self.seen = {}

    async def do(self, what, argument):
        match what:
            case "connect":
                await self.clients[argument].connect(self.events)
            case "disconnect":
                await self.clients[argument].disconnect()
            case "stall":
                self.clients[argument].stall()
            case "restart":
                # Of the server: nothing that clients know about its events is true any more.
                await self.view.__aexit__()
                self.view = await View(self.membership).__aenter__()
                self.events = Events(self.view)
            case "sleep":
                await asyncio.sleep(argument)
            case _:
                self.happen(what, argument)
        self.look()

    def happen(self, what, argument):
        """Let something happen in the registry."""
        match what:
            case "put":
                self.source.feed.put(argument, new=False)
            case "gone" | "withdrawn":
                self.source.feed.gone(argument.name, withdrawn=what == "withdrawn")
            case "snapshot":
                self.source.feed.snapshot(argument)
            case "confirmed":
                # What the disk cache had is what the registry has.
                self.source.feed.snapshot(
                    [Record(each.name, each.data, each.sequence, each.ephemeral) for each in self.directory]
                )
            case "lost":
                self.source.feed.stale(argument)

    def look(self):
        """The version of a view names one state of the listing."""
        state = as_json([each.entry() for each in listing(self.directory)])
        if not self.directory.unconfirmed:
            assert self.seen.setdefault(self.view.version, state) == state

    def rows(self):
        return {each.name: strict(as_json(each.summary())) for each in listing(self.directory)}


async def play(restored, steps):
    cluster = Cluster()
    for each in restored:
        cluster.directory.restore(each)
    cluster.membership.start()
    await cluster.view.__aenter__()
    for step in steps:
        await cluster.do(*step)
    for client in cluster.clients:
        await client.connect(cluster.events)
    await asyncio.sleep(HEARTBEAT)
    for client in cluster.clients:
        await client.disconnect()
        assert client.known.rows == cluster.rows()
        assert client.known.timeline == [moment.entry() for moment in cluster.view.timeline.moments()]
        assert client.known.status["stale"] == cluster.membership.stale
        assert client.known.status["ready"] == cluster.membership.ready
    assert not cluster.view.failed
    await cluster.view.__aexit__()
    await cluster.membership.aclose()


@settings(max_examples=60, deadline=None)
@given(
    remembered=st.sampled_from([2, 5, 1000]),
    share=st.sampled_from([0.01, 4]),
    restored=st.lists(RECORDS, max_size=3),
    steps=st.lists(STEPS, max_size=30),
)
def test_a_client_that_applies_the_events_knows_what_is_listed(remembered, share, restored, steps):
    """Whatever happens to the registry, to the connection and to the server, and in whatever order.

    Clients miss events because few are remembered, and share what they get first, or don't.
    """
    with (
        VirtualClock(),
        patch.object(feed, "_MOST", remembered),
        patch.object(events, "_SHARE", share),
    ):
        asyncio.run(play(restored, steps))
