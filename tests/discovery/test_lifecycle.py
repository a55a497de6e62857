"""Opening and closing a Discovery."""

import asyncio
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from peerage import Discovery, Identity
from peerage.errors import ConfigurationError, RegistryClosedError
from peerage.testing import begun

SOURCES = Path(__file__).parents[2] / "src"

ORDERS = Identity(host="node-1", service_id="orders", instance_id="1")


class Hanging:
    """An advertisement in a registry whose server doesn't answer any more."""

    name = None

    def __init__(self):
        self.withdrawing = asyncio.Event()
        self.cancelled = False

    def update(self, data):
        """Accept it; it is never written."""

    async def registered(self):
        await asyncio.Event().wait()

    async def withdraw(self):
        self.withdrawing.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled = True


async def test_outside_of_its_context_every_call_is_refused(url):
    """The error is the same before and after, and shows how to open a Discovery."""
    discovery = Discovery(url)

    async def check():
        for question in (
            *(discovery.locate, discovery.instances, discovery.discover),
            *(discovery.ready, discovery.advertise),
        ):
            with pytest.raises(RegistryClosedError, match="async with"):
                await question()
        for call in (discovery.changes, discovery.session, discovery.register):
            with pytest.raises(RegistryClosedError, match="async with"):
                call()

    await check()
    async with discovery:
        await discovery.ready()
        with pytest.raises(RegistryClosedError, match="opened once"):
            discovery.start()
    await check()
    with pytest.raises(RegistryClosedError, match="opened once"):
        await discovery.__aenter__()


async def test_one_that_is_never_opened_can_be_closed(url):
    """It can't be opened afterwards."""
    discovery = Discovery(url)
    await discovery.aclose()
    with pytest.raises(RegistryClosedError):
        discovery.start()


async def test_it_can_be_started_and_closed_by_hand(url):
    """This serves programs that can't use ``async with``."""
    discovery = Discovery(url, identity=ORDERS)
    discovery.start()
    discovery.register(port=80)
    assert await discovery.locate(service_id="orders") == {"http://node-1:80"}
    await discovery.aclose()


async def test_making_one_needs_no_event_loop(url):
    """It can be made in another thread, before there is a loop."""
    discovery = await asyncio.to_thread(Discovery, url)
    async with discovery:
        assert await discovery.locate() == set()


def test_without_a_loop_of_asyncio_it_cant_be_opened(url):
    """As under trio, or in a program without an event loop; nothing is left behind."""
    opened = Discovery(url)
    with pytest.raises(RuntimeError, match="needs an event loop of asyncio"):
        opened.__aenter__().send(None)


async def test_closing_withdraws_and_may_be_repeated(url, observer, seen):
    """The registry that it opened is closed with it."""
    async with Discovery(url, identity=ORDERS) as discovery:
        await discovery.advertise(port=80)
        await seen(observer)
        await discovery.aclose()
        await discovery.aclose()
        await seen(observer, lambda found: not found)
        with pytest.raises(RegistryClosedError):
            discovery.registry.watch()


async def test_closing_ends_the_calls_that_wait(registry):
    """A question or an advertisement that can't be answered any more ends at once."""
    async with Discovery(registry) as discovery:
        await discovery.ready()
        registry.hang()
        advertising = await begun(discovery.advertise(port=80))
        await discovery.aclose()
        with pytest.raises(RegistryClosedError):
            await advertising
    registry.lose()
    async with Discovery(registry) as other:
        asking = await begun(other.locate())
        await other.aclose()
        with pytest.raises(RegistryClosedError):
            await asking


async def test_closing_waits_for_no_registry_that_hangs(registry, monkeypatch, virtual_clock):
    """Withdrawals that aren't answered are given up, all of them at the same time."""
    hanging = [Hanging() for _ in range(5)]
    advertisements = iter(hanging)
    monkeypatch.setattr(registry, "advertise", lambda *_: next(advertisements))
    async with Discovery(registry, identity=ORDERS) as discovery:
        await discovery.ready()
        registry.lose()
        for _ in hanging:
            await discovery.advertise(port=80)
    assert all(one.cancelled for one in hanging)


async def test_closing_goes_on_when_it_is_cancelled(registry, monkeypatch, virtual_clock):
    """The next call waits for the rest."""
    hanging = Hanging()
    monkeypatch.setattr(registry, "advertise", lambda *_: hanging)
    async with Discovery(registry, identity=ORDERS) as discovery:
        await discovery.ready()
        registry.lose()
        await discovery.advertise(port=80)
        closing = asyncio.create_task(discovery.aclose())
        await hanging.withdrawing.wait()
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        assert not hanging.cancelled
        await discovery.aclose()
        assert hanging.cancelled


async def test_a_registry_passed_in_stays_open(registry, observer, seen):
    """It belongs to the caller and may serve several; what was advertised is withdrawn."""
    for _ in range(2):
        async with Discovery(registry, identity=ORDERS) as discovery:
            await discovery.advertise(port=80)
            assert discovery.registry is registry
            await seen(observer)
        await seen(observer, lambda found: not found)
    assert (await registry.inspect()).state == "connected"
    assert not registry._feeds


async def test_the_registry_is_the_argument_or_the_variable_or_embedded(url, monkeypatch, tmp_path):
    """An empty variable counts as missing."""
    monkeypatch.setenv("PEERAGE_DIR", str(tmp_path / "embedded"))
    monkeypatch.setenv("PEERAGE_REGISTRY", f"{url}-variable")
    for argument, expected in ((url, url), (None, f"{url}-variable")):
        discovery = Discovery(argument)
        assert discovery.registry.url == expected
        await discovery.aclose()
    monkeypatch.setenv("PEERAGE_REGISTRY", "")
    discovery = Discovery()
    assert discovery.registry.url.startswith("embedded:")
    await discovery.aclose()


def test_an_impossible_registry_is_refused_at_once():
    """The message shows no more of the URL than its scheme: the rest may hold credentials."""
    with pytest.raises(ConfigurationError) as caught:
        Discovery("nosuch://me:secret@host")
    assert "nosuch" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", [5, "two words", "orders\x00", b"orders"])
def test_a_name_that_no_url_can_contain_is_refused_at_once(url, name):
    with pytest.raises(ConfigurationError, match="service_id="):
        Discovery(url, service_id=name)


def test_sources_that_arent_installed_say_so():
    """The list of registries is in the metadata that pip installs beside the sources."""
    program = (
        f"import sys; sys.path.append({str(SOURCES)!r}); import peerage; peerage.open_registry('memory:')"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], check=False, capture_output=True, text=True
    )
    message = found.stderr.splitlines()[-1]
    assert message.startswith("peerage.errors.ConfigurationError: No registry backend is installed")
    assert "pip install" in message


async def test_another_text_as_auth_is_refused(discovery):
    """The message says how to send a token; resources need internal authorization."""
    for wrong in ({"auth": "bearer"}, {"resources": {"*": ["a"]}}):
        with pytest.raises(ConfigurationError, match=r"'internal'.*headers=\{'Authorization'"):
            discovery.session(**wrong)


async def test_an_exception_closes_it_and_is_raised(url, observer, seen):
    """Whatever the exception, the record is withdrawn."""

    async def fail():
        async with Discovery(url, identity=ORDERS) as discovery:
            await discovery.advertise(port=80)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await seen(observer, lambda found: not found)


async def test_a_healthy_life_is_two_lines_in_the_log(url, caplog):
    """One says under which name and where the service is found, the other that this is over."""
    caplog.set_level(logging.INFO, logger="peerage")
    async with Discovery(url, identity=ORDERS) as discovery:
        registration = await discovery.advertise(port=80)
        name = registration.name
        await discovery.locate(service_id="orders")
    assert [(record.name, record.levelname, record.message) for record in caplog.records] == [
        (
            *("peerage.registration", "INFO"),
            f"Advertised as {name} in {url}: instance_id=1 service_id=orders http://node-1:80",
        ),
        ("peerage.registration", "INFO", f"Withdrawn: {name} from {url}"),
    ]


def test_two_threads_with_an_event_loop_each_share_a_registry(url, seen):
    """Each sees the other's service come, change and go."""
    both_seen = threading.Barrier(2, timeout=30)
    failures = []

    async def live(name, other):
        async with Discovery(url, identity=Identity(host=name, service_id=name)) as discovery:
            registration = await discovery.advertise(port=80)
            await seen(discovery, lambda found: {one.host for one in found} == {name, other})
            registration.update(ids={"ready": 1})
            await seen(discovery, lambda found: any(one.host == other and one.id("ready") for one in found))
            assert await discovery.locate(ready=1) >= {f"http://{other}:80"}
            await asyncio.to_thread(both_seen.wait)
            if name == "one":
                await registration.withdraw()
            else:
                await seen(discovery, lambda found: {one.host for one in found} == {name})

    def run(name, other):
        try:
            asyncio.run(live(name, other))
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread of the test
            failures.append(error)
            both_seen.abort()

    threads = [threading.Thread(target=run, args=names) for names in (("one", "two"), ("two", "one"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
