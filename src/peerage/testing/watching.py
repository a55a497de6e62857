"""The contract's part on watching."""

import asyncio

from peerage.registry import Event, Gone, Put, Registry, Snapshot
from peerage.testing.harness import Harness, registered, requires
from peerage.testing.participant import Participant
from peerage.testing.view import View
from peerage.testing.waiting import begun, eventually


class WatchingTests:
    """A snapshot, then the changes; watchers don't affect each other."""

    async def test_an_empty_registry_gives_an_empty_snapshot(self, here: Registry) -> None:
        """There is a first event even if there are no records."""
        watch = here.watch()
        assert await anext(watch) == Snapshot(())
        await watch.aclose()

    async def test_snapshot_then_changes(self, here: Registry, there: Registry) -> None:
        """A record keeps its name and its sequence through every change."""
        early = await registered(there, "Early", b"1")
        watch = here.watch()
        snapshot = await anext(watch)
        assert isinstance(snapshot, Snapshot)
        (record,) = snapshot.records
        assert (record.name, record.data, record.ephemeral) == (early.name, b"1", True)

        late = await registered(there, "Late", b"2")
        put = await anext(watch)
        assert isinstance(put, Put)
        assert (put.record.name, put.record.data) == (late.name, b"2")
        assert put.record.sequence > record.sequence

        early.update(b"3")
        assert await anext(watch) == Put(record._replace(data=b"3"))
        await early.withdraw()
        gone = await anext(watch)
        assert isinstance(gone, Gone)
        assert gone.name == record.name
        await watch.aclose()

    async def test_events_of_one_record_keep_their_order(self, here: Registry, there: Registry) -> None:
        """Events may be merged, but no watcher gets an older state after a newer one."""
        owner = await registered(there, "Counter", b"0")
        async with View(here) as view:
            for number in range(1, 200):
                owner.update(b"%d" % number)
                if number % 7 == 0:
                    await owner.registered()
            await view.until_data([b"199"])
            numbers = [int(event.record.data) for event in view.events if isinstance(event, Put)]
            assert numbers == sorted(numbers)

    async def test_watchers_are_independent(self, here: Registry, there: Registry) -> None:
        """Each begins with a snapshot; closing one ends no other."""
        async with View(here) as one:
            await registered(there, "A", b"a")
            await one.until_data([b"a"])
            async with View(here) as two:
                await two.until_data([b"a"])
            await registered(there, "B", b"b")
            await one.until_data([b"a", b"b"])
        assert two.ended

    async def test_a_slow_watcher_gets_the_newest(self, here: Registry, there: Registry) -> None:
        """No queue grows for a watcher that takes no events, and others don't wait for it."""
        slow = here.watch()
        assert isinstance(await anext(slow), Snapshot)
        owner = await registered(there, "Busy", b"first")
        passing = await registered(there, "Passing", b"x")
        async with View(here) as quick:
            for number in range(300):
                owner.update(b"%d" % number)
                if number % 10 == 0:
                    await owner.registered()
            await passing.withdraw()
            owner.update(b"last")
            await quick.until_data([b"last"])
        seen: list[bytes] = []
        events = 0
        while seen[-1:] != [b"last"]:
            event = await anext(slow)
            events += 1
            if isinstance(event, Put) and event.record.name == owner.name:
                seen.append(event.record.data)
        # At most one event of each record waits: this one, and the one that came and went.
        assert events <= 2
        await slow.aclose()

    async def test_sequences_grow(self, here: Registry, there: Registry) -> None:
        """Of two records, also of two participants, the one created later has the higher sequence."""
        async with View(here) as view:
            for turn in range(6):
                await registered((here, there)[turn % 2], "Turn", b"%d" % turn)
            await view.until(lambda: len(view.records) == 6)
            by_sequence = sorted(view.records.values(), key=lambda record: record.sequence)
            assert [record.data for record in by_sequence] == [b"%d" % turn for turn in range(6)]
            assert len({record.sequence for record in by_sequence}) == len(by_sequence)

    async def test_two_paths_do_not_see_each_other(self, here: Registry, elsewhere: Registry) -> None:
        """Another path is another registry."""
        await registered(here, "Here", b"here")
        await registered(elsewhere, "There", b"there")
        async with View(here) as view, View(elsewhere) as other:
            await view.until_data([b"here"])
            await other.until_data([b"there"])

    async def test_closing_ends_a_watch_that_waits(self, here: Registry) -> None:
        """The iteration ends for a watcher that waits for the next event."""
        async with View(here) as view:
            await view.until(lambda: view.ready)
            await here.aclose()
            await eventually(lambda: view.ended, "the end of the watch")

    async def test_a_cancelled_wait_loses_nothing(self, here: Registry, there: Registry) -> None:
        """Cancelling ``anext`` leaves the watch as it was."""
        watch = here.watch()
        assert isinstance(await anext(watch), Snapshot)

        async def next_event() -> Event:
            return await anext(watch)

        for _ in range(3):
            waiting = await begun(next_event())
            waiting.cancel()
            await asyncio.wait([waiting])
        owner = await registered(there, "Late", b"late")
        event = await anext(watch)
        assert isinstance(event, Put)
        assert event.record.name == owner.name
        await watch.aclose()

    @requires("processes")
    async def test_another_process_is_seen(self, harness: Harness, view: View) -> None:
        """Registered, updated in place and withdrawn by another process."""
        async with Participant.spawn(harness.url()) as owner:
            name = await owner.advertise("Other", b"1")
            await view.until(lambda: view.data == {name: b"1"})
            await owner.update(name, b"2")
            await view.until(lambda: view.data == {name: b"2"})
            await owner.withdraw(name)
            await view.until(lambda: not view.records)

    @requires("processes")
    async def test_a_record_vanishes_with_its_process(self, harness: Harness, view: View) -> None:
        """Its records vanish after SIGKILL and after an exit without withdrawing; the others stay."""
        async with Participant.spawn(harness.url()) as stays:
            await stays.advertise("Stays", b"stays")
            for number in range(2):
                async with Participant.spawn(harness.url()) as goes:
                    await goes.advertise("Goes", b"goes")
                    await goes.advertise("Goes", b"goes too")
                    await view.until_data([b"stays", b"goes", b"goes too"])
                    if number == 0:
                        goes.kill()
                    else:
                        await goes.leave()
                    await view.until_data([b"stays"])
