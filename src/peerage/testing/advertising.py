"""The contract's part on advertising, and on secrets."""

import asyncio

import pytest

from peerage.errors import RegistryClosedError, RegistryDeniedError
from peerage.registry import RECORD_LIMIT, Registry
from peerage.testing.harness import registered, requires
from peerage.testing.view import View
from peerage.testing.waiting import begun


class AdvertisingTests:
    """One record, from its advertisement to its withdrawal."""

    async def test_every_record_has_a_unique_name(self, here: Registry) -> None:
        """The name is known once the record is registered; it stays until the record is withdrawn."""
        one = await registered(here, "My.App-1_x", b"{}")
        two = await registered(here, "My.App-1_x", b"{}")
        assert one.name
        assert two.name
        assert one.name != two.name
        assert await one.registered() == one.name

    async def test_a_registry_knows_the_names_of_its_records(self, here: Registry, there: Registry) -> None:
        """Each is announced once, stays known after the withdrawal, and isn't known to another registry."""
        announced: list[str] = []
        unsubscribe = here.own_records.subscribe(announced.append)
        owner = await registered(here, "Mine", b"1")
        name = owner.name
        owner.update(b"2")
        await owner.registered()
        await owner.withdraw()
        assert announced == [name]
        assert list(here.own_records) == [name]
        assert len(there.own_records) == 0
        unsubscribe()
        await registered(here, "Other", b"1")
        assert announced == [name]
        assert len(here.own_records) == 2

    async def test_the_last_update_wins(self, here: Registry, view: View) -> None:
        """Updates written faster than the registry takes them are merged."""
        owner = await registered(here, "Quick", b"first")
        name = owner.name
        for number in range(500):
            owner.update(b"%d" % number)
        owner.update(b"last")
        await owner.registered()
        await view.until_data([b"last"])
        assert set(view.records) == {name}

    async def test_an_update_before_registration_counts(self, here: Registry, there: Registry) -> None:
        """What is registered is what was given last."""
        owner = here.advertise("Early", b"first")
        owner.update(b"second")
        await owner.registered()
        async with View(there) as view:
            await view.until_data([b"second"])

    async def test_withdraw_removes_for_good(self, here: Registry, view: View) -> None:
        """No watcher sees the record any more; a second withdrawal is no error, any other call is one."""
        owner = await registered(here, "Brief", b"1")
        await view.until_data([b"1"])
        await owner.withdraw()
        await view.until_data([])
        await owner.withdraw()
        with pytest.raises(RegistryClosedError):
            owner.update(b"2")
        with pytest.raises(RegistryClosedError):
            await owner.registered()

    @pytest.mark.parametrize("known", [False, True])
    async def test_withdraw_wins(self, here: Registry, view: View, *, known: bool) -> None:
        """A record that is withdrawn while it is being registered, or updated, isn't present afterwards."""
        for number in range(20):
            owner = here.advertise("Fleeting", b"-%d" % number)
            if known:
                await owner.registered()
                owner.update(b"%d" % number)
            if number % 2:
                await asyncio.sleep(0)
            await owner.withdraw()
        # Whatever is still under way for the twenty is done before this one is registered.
        await registered(here, "Marker", b"marker")
        await view.until_data([b"marker"])

    async def test_cancelling_leaves_nothing_behind(self, here: Registry, view: View) -> None:
        """A cancelled wait affects neither the record nor other waits; withdraw() can be called again."""
        owner = here.advertise("Patient", b"1")
        waits = [await begun(owner.registered()) for _ in range(3)]
        waits[0].cancel()
        assert await waits[1] == await waits[2] == owner.name
        await view.until_data([b"1"])
        withdrawal = await begun(owner.withdraw())
        withdrawal.cancel()
        await asyncio.wait([withdrawal, waits[0]])
        await owner.withdraw()
        await view.until_data([])

    async def test_oversized_records_are_refused(self, here: Registry, view: View) -> None:
        """One byte too many fails that call and changes nothing; the limit itself is accepted."""
        largest = b"x" * RECORD_LIMIT
        with pytest.raises(RegistryDeniedError, match=str(RECORD_LIMIT)):
            here.advertise("Large", largest + b"x")
        owner = await registered(here, "Small", b"small")
        with pytest.raises(RegistryDeniedError, match=str(RECORD_LIMIT)):
            owner.update(largest + b"x")
        await view.until_data([b"small"])
        owner.update(largest)
        await view.until_data([largest])

    @pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "a b", "a\n", "ä", "x" * 101, "-dash"])
    async def test_impossible_names_are_refused(self, here: Registry, name: str) -> None:
        """Every backend refuses a name that is impossible in one of them."""
        with pytest.raises(RegistryDeniedError):
            here.advertise(name, b"{}")

    async def test_any_bytes_arrive_as_they_are(self, here: Registry, view: View) -> None:
        """The port carries bytes, not text."""
        data = bytes(range(256))
        await registered(here, "Binary", data)
        await registered(here, "Empty", b"")
        await view.until_data([data, b""])

    @requires("secrets")
    async def test_all_callers_get_the_same_secret(
        self, here: Registry, there: Registry, elsewhere: Registry
    ) -> None:
        """Many callers obtain a secret at the same time, on two paths: all get the value that was kept."""
        made: list[bytes] = []

        def make() -> bytes:
            made.append(b"secret %d" % len(made))
            return made[-1]

        stores = [each.secrets for each in (here, there, elsewhere) if each.secrets is not None]
        assert len(stores) == 3
        values = await asyncio.gather(*(store.obtain("/asab/auth/key", make) for store in stores * 10))
        assert len(set(values)) == 1
        assert values[0] in made
        assert await stores[0].obtain("/asab/auth/other", lambda: b"other") == b"other"

    @requires("secrets")
    async def test_a_secret_is_followed(self, here: Registry, there: Registry) -> None:
        """An iteration that begins before there is a value gets it as soon as another process made it."""
        assert here.secrets is not None
        assert there.secrets is not None
        followed = here.secrets.follow("/asab/key")

        async def first() -> bytes:
            return await anext(followed)

        waiting = await begun(first())
        assert await there.secrets.obtain("/asab/key", lambda: b"value") == b"value"
        assert await waiting == b"value"
        await followed.aclose()  # type: ignore[attr-defined] # every backend's iterator has it
