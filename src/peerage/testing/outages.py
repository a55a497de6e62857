"""The contract's part on losing touch and on losing the session."""

from peerage.registry import Registry, Snapshot, Stale
from peerage.testing.harness import Harness, registered, requires
from peerage.testing.view import View
from peerage.testing.waiting import eventually


class OutageTests:
    """An error is never an empty snapshot; what was advertised meanwhile is registered afterwards."""

    @requires("outage")
    async def test_what_was_known_stays_true(self, harness: Harness, here: Registry, there: Registry) -> None:
        """Stale has a reason and removes nothing; recovery is a snapshot with what happened meanwhile."""
        async with View(here) as view:
            stays = await registered(there, "Stays", b"stays")
            goes = await registered(there, "Goes", b"goes")
            await view.until_data([b"stays", b"goes"])
            await harness.lose()
            await view.until(lambda: view.stale)
            assert len(view.records) == 2

            await goes.withdraw()
            stays.update(b"stays, changed")
            await stays.registered()
            await registered(there, "Comes", b"comes")
            assert len(view.records) == 2
            await harness.restore()
            await view.until_data([b"stays, changed", b"comes"])
            assert view.stale is None
            after = view.events[view.events.index(next(e for e in view.events if isinstance(e, Stale))) :]
            assert isinstance(next(event for event in after if not isinstance(event, Stale)), Snapshot)

    @requires("outage")
    async def test_a_watch_begun_out_of_touch_says_so(
        self, harness: Harness, here: Registry, there: Registry
    ) -> None:
        """The first event is Stale, at once; the snapshot follows."""
        await registered(there, "There", b"there")
        await harness.lose()
        async with View(here) as view:
            await view.until(lambda: view.stale)
            assert not view.ready
            await harness.restore()
            await view.until_data([b"there"])

    @requires("outage")
    async def test_advertising_out_of_touch(self, harness: Harness, here: Registry, view: View) -> None:
        """advertise() returns at once; the record is registered, as given last, when that is possible."""
        async with View(here) as own:
            await _lose(harness, own)
            owner = here.advertise("Patient", b"1")
            owner.update(b"2")
            assert not owner.name
            await harness.restore()
            registered_as = await owner.registered()
            assert registered_as == owner.name
            await view.until_data([b"2"])

    @requires("outage")
    async def test_nothing_is_written_if_the_session_survived(
        self, harness: Harness, here: Registry, there: Registry
    ) -> None:
        """Other watchers see no event of such an outage; an update made meanwhile is applied once."""
        kept = await registered(here, "Kept", b"kept")
        changed = await registered(here, "Changed", b"before")
        names = {kept.name, changed.name}
        async with View(there) as view, View(here) as own:
            await view.until_data([b"kept", b"before"])
            before = len(view.events)
            await _lose(harness, own)
            changed.update(b"after")
            await harness.restore()
            await changed.registered()
            await view.until_data([b"kept", b"after"])
            assert set(view.records) == names
            assert len(view.events) == before + 1

    @requires("outage")
    async def test_withdraw_out_of_touch_wins(self, harness: Harness, here: Registry, view: View) -> None:
        """A record that is withdrawn in an outage is gone after it."""
        owner = await registered(here, "Leaves", b"leaves")
        async with View(here) as own:
            await _lose(harness, own)
            never = here.advertise("Never", b"never")
            await owner.withdraw()
            await never.withdraw()
            await harness.restore()
            await registered(here, "Marker", b"marker")
            await view.until_data([b"marker"])

    @requires("session")
    async def test_a_lost_session_is_replaced(self, harness: Harness, here: Registry, view: View) -> None:
        """Each record comes back once, under another name, and watchers end with these."""
        owners = [await registered(here, "Back", b"%d" % number) for number in range(5)]
        wanted = [b"%d" % number for number in range(5)]
        await view.until_data(wanted)
        before = {owner.name for owner in owners}
        async with View(here) as own:
            await own.until_data(wanted)
            await harness.expire()
            await view.until(
                lambda: sorted(view.data.values()) == wanted and not before & set(view.records),
                "each record back once, under another name",
            )
            await own.until(lambda: set(own.records) == set(view.records))
        await eventually(lambda: {owner.name for owner in owners} == set(view.records), "the owners know")
        assert set(here.own_records) == before | set(view.records)

    @requires("session", "outage")
    async def test_withdraw_wins_against_a_lost_session(
        self, harness: Harness, here: Registry, view: View
    ) -> None:
        """What is withdrawn while the session is gone isn't registered again with the next."""
        owner = await registered(here, "Leaves", b"leaves")
        await view.until_data([b"leaves"])
        await harness.lose()
        await harness.expire()
        await owner.withdraw()
        await harness.restore()
        await registered(here, "Marker", b"marker")
        await view.until_data([b"marker"])


async def _lose(harness: Harness, view: View) -> None:
    """Lose touch once the registry was read, and wait until *view* knows."""
    await view.until(lambda: view.ready)
    await harness.lose()
    await view.until(lambda: view.stale)
