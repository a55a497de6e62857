"""kazoo's client of a registry's session: its calls, watches and recipes beside the registry."""

import asyncio
import threading

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import (
    ConnectionClosedError,
    ConnectionLoss,
    NoAuthError,
    NoNodeError,
    SessionExpiredError,
)
from kazoo.protocol.serialization import Exists
from kazoo.protocol.states import KeeperState
from tests.asab.zookeeper.sessions import session_of
from tests.backends.zookeeper.support import (
    agree,
    bare_client,
    connected,
    connection,
    cut_off,
    folder_of,
    warnings_in,
)

from peerage.errors import RegistryClosedError
from peerage.registry import open_registry
from peerage.testing import View, eventually
from peerage.testing.harness import closing, registered

call = asyncio.to_thread


def base_of(url: str) -> str:
    """A path outside of the folder of records that only this test uses."""
    return folder_of(url).replace("/run", "/users")


async def test_the_client_uses_the_session_of_the_registry(url):
    """What it creates is owned by the session of the records."""
    async with closing(open_registry(url)) as (registry,):
        client = session_of(registry).client
        assert isinstance(client, KazooClient)
        path = await call(client.create, f"{base_of(url)}/x", b"1", ephemeral=True, makepath=True)
        stat = await call(client.exists, path)
        assert stat.ephemeralOwner == client.client_id[0] == connection(registry).up.session
        assert client.connected
        assert session_of(registry).client is client


async def test_calls_before_the_first_connection_wait_for_it(url):
    """Its calls wait for it."""
    async with closing(open_registry(url)) as (registry,):
        assert await call(session_of(registry).client.exists, "/zookeeper")


def test_the_client_exists_before_the_event_loop(url):
    """The same client connects later; closed before that, it leaves nothing."""
    for connects in (True, False):
        registry = open_registry(url)
        client = session_of(registry).client
        with pytest.raises(ConnectionClosedError):
            client.exists("/zookeeper")

        async def use(registry=registry, client=client, connects=connects) -> None:
            if connects:
                assert session_of(registry).client is client
                assert await call(client.exists, "/zookeeper")
            await registry.aclose()

        asyncio.run(use())
        with pytest.raises(ConnectionClosedError):
            client.create("/anything")
        assert not [each for each in threading.enumerate() if each.name.startswith("peerage: zoo")]


async def test_blocking_calls_from_threads(url):
    """Also those that consist of several requests."""
    base = base_of(url)
    async with closing(open_registry(url)) as (registry,):
        client = session_of(registry).client

        def use() -> None:
            client.ensure_path(f"{base}/a/b")
            client.create(f"{base}/c/d", b"1", makepath=True)
            assert client.get(f"{base}/c/d")[0] == b"1"
            client.set(f"{base}/c/d", b"2")
            assert sorted(client.get_children(base)) == ["a", "c"]
            transaction = client.transaction()
            transaction.check(f"{base}/c/d", 1)
            transaction.delete(f"{base}/c/d")
            assert transaction.commit() == [True, True]
            client.delete(base, recursive=True)
            assert client.exists(base) is None
            with pytest.raises(NoNodeError):
                client.get(base)
            assert client.retry(client.exists, "/zookeeper")

        await call(use)


async def test_many_threads_beside_records(url):
    """Requests of users and of the registry share a queue, and each gets its answer."""
    base = base_of(url)
    async with closing(open_registry(url)) as (registry,), View(registry) as view:
        client = session_of(registry).client
        await call(client.ensure_path, base)
        record = await registered(registry, "Busy", b"0")

        def use(number: int) -> None:
            for turn in range(50):
                path = f"{base}/{number}-{turn}"
                client.create(path, b"%d" % number)
                assert client.get(path)[0] == b"%d" % number

        users = [asyncio.ensure_future(call(use, number)) for number in range(4)]
        for number in range(1, 50):
            record.update(b"%d" % number)
            await record.registered()
        await asyncio.gather(*users)
        await view.until_data([b"49"])
        assert len(await call(client.get_children, base)) == 200


async def test_a_request_that_cannot_be_encoded_fails_alone(url):
    """The connection, which discovery uses as well, stays."""
    async with closing(open_registry(url)) as (registry,):
        client = session_of(registry).client
        await connected(registry)
        before = connection(registry).up
        for wrong in (
            lambda: client.set("/\udc80", b""),
            lambda: client.set("/zookeeper", b"", 1 << 40),
            lambda: client.create("/a", b"", acl=["world"]),
            lambda: client.set_acls("/zookeeper", [(31, "world")]),
        ):
            with pytest.raises(Exception, match=r"surrogates|format|range|attribute"):
                await call(wrong)
        assert await call(client.exists, "/zookeeper")
        assert connection(registry).up is before


async def test_watches_and_answers_call_back(url, server):
    """On separate threads: a callback may call the client."""
    path = f"{base_of(url)}/node"
    seen: list[tuple[bytes | None, bytes]] = []
    children: list[list[str]] = []
    once = threading.Event()
    async with closing(open_registry(url)) as (registry,), bare_client(server.address) as other:
        client = session_of(registry).client
        await call(client.create, path, b"1", makepath=True)

        def look(data: bytes | None, _stat: object) -> None:
            seen.append((data, client.get(path)[0]))

        await call(client.DataWatch, path, look)
        await call(client.ChildrenWatch, base_of(url), children.append)
        client.exists_async(f"{path}-2", lambda _: once.set())
        client.get_async(path).rawlink(lambda answer: seen.append(answer.get()[:1] * 2))
        await eventually(lambda: len(seen) == 2, "the answer")
        await call(other.set, path, b"2")
        await eventually(lambda: seen[-1] == (b"2", b"2"), "the change")
        await call(other.create, f"{path}-2", b"")
        await call(once.wait, 10)
        await eventually(lambda: children[-1:] and sorted(children[-1]) == ["node", "node-2"], "the child")
    assert len(children) == 2


async def test_a_callback_that_fails_is_logged(url, caplog):
    """The next one is called all the same."""
    async with closing(open_registry(url)) as (registry,):
        client, called = session_of(registry).client, threading.Event()
        client.get_async("/zookeeper").rawlink(lambda _: 1 // 0)
        client.get_async("/zookeeper").rawlink(lambda _: called.set())
        assert await call(called.wait, 10)
    (warning,) = warnings_in(caplog)
    assert "callback that was given" in warning


async def test_a_lock_between_two_registries(url):
    """A recipe with sequential nodes, watches and waiting."""
    async with closing(open_registry(url), open_registry(url)) as (one, other):
        mine, yours = (session_of(each).client.Lock(f"{base_of(url)}/lock") for each in (one, other))
        assert await call(mine.acquire)
        assert not await call(yours.acquire, blocking=False)
        waiting = asyncio.ensure_future(call(yours.acquire))
        await eventually(lambda: len(mine.contenders() or ()) == 2, "the other one in line")
        await call(mine.release)
        assert await waiting
        await call(yours.release)


async def test_a_watch_on_the_folder_keeps_the_registrys_watch(url, server):
    """Before 3.9 a server replaces the recursive watch by it; the user gets the events all the same."""
    folder = folder_of(url)
    async with (
        closing(open_registry(url)) as (registry,),
        View(registry) as view,
        bare_client(server.address) as other,
    ):
        await registered(registry, "First", b"first")
        await view.until_data([b"first"])
        client, data, events = session_of(registry).client, [], []
        await call(client.DataWatch, folder, lambda value, _: data.append(value))
        await call(client.exists, folder, events.append)
        await call(client.ChildrenWatch, folder, events.append)
        await call(other.create, f"{folder}/Second.", b"second", sequence=True, ephemeral=True)
        await view.until_data([b"first", b"second"])
        await call(other.set, folder, b"of a user")
        await eventually(lambda: data[-1:] == [b"of a user"], "the change of the folder")
        await eventually(lambda: [each for each in events if getattr(each, "path", "") == folder], "an event")
        await call(other.create, f"{folder}/Third.", b"third", sequence=True, ephemeral=True)
        await view.until_data([b"first", b"second", b"third"])


async def test_calls_in_an_outage_wait_for_its_end(url, through, proxy):
    """As with kazoo: those under way fail, later ones wait. The event loop isn't blocked."""
    async with closing(open_registry(through)) as (registry,), View(registry) as view:
        client = session_of(registry).client
        owner = await registered(registry, "Owner", b"1")
        await view.until_data([b"1"])
        await cut_off(proxy, registry)
        # More than the pipe to kazoo's thread holds, from the event loop.
        answers = [client.exists_async("/zookeeper") for _ in range(1000)]
        blocked = asyncio.ensure_future(call(client.exists, "/zookeeper"))
        owner.update(b"2")
        assert not any(answer.ready() for answer in answers)
        await proxy.heal()
        assert await blocked
        await eventually(lambda: all(answer.successful() for answer in answers), "all answers")
        await view.until_data([b"2"])
        await agree(url, view)


async def test_a_watch_survives_outages_and_sessions(url, through, server, proxy):
    """A DataWatch is set again after a reconnect and in the next session."""
    path, seen = f"{base_of(url)}/node", []
    async with closing(open_registry(through)) as (registry,), bare_client(server.address) as other:
        client = session_of(registry).client
        await call(client.create, path, b"0", makepath=True)
        await call(client.DataWatch, path, lambda data, _: seen.append(data))
        proxy.cut()
        await call(other.set, path, b"1")
        await eventually(lambda: seen[-1] == b"1", "what changed in an outage")
        session = connection(registry).up.session
        await proxy.expire_sessions()
        await eventually(
            lambda: (up := connection(registry).up) is not None and up.session != session, "another session"
        )
        await call(other.set, path, b"2")
        await eventually(lambda: seen[-1] == b"2", "what changed in another session")
        await call(other.set, path, b"3")
        await eventually(lambda: seen[-1] == b"3", "a change that the watch reports")


@pytest.mark.parametrize("turn", range(3))
async def test_no_call_is_forgotten_when_sessions_end(through, proxy, turn):
    """Each call gets an answer or an error."""
    over = threading.Event()
    outcomes = []

    def use() -> None:
        while not over.is_set():
            try:
                outcomes.append(bool(client.exists("/zookeeper")))
            except (ConnectionLoss, SessionExpiredError) as error:
                outcomes.append(type(error))

    async with closing(open_registry(through)) as (registry,):
        client = session_of(registry).client
        await connected(registry)
        users = [asyncio.ensure_future(call(use)) for _ in range(3)]
        for _ in range(3):
            before = connection(registry).up
            await proxy.expire_sessions()
            await eventually(lambda before=before: connection(registry).up not in {None, before})
            answered = len(outcomes)
            await eventually(lambda answered=answered: len(outcomes) > answered + 20, "answers")
        over.set()
        async with asyncio.timeout(20):
            await asyncio.gather(*users)
    assert True in outcomes


async def test_a_request_queued_as_the_session_ends_fails(through, proxy, monkeypatch):
    """Between kazoo's emptying of the queue and its replacement."""
    async with closing(open_registry(through)) as (registry,):
        client = session_of(registry).client
        await connected(registry)
        late, empty = client.handler.async_result(), client._notify_pending

        def empty_and_be_late(state: str) -> None:
            empty(state)
            if state == KeeperState.EXPIRED_SESSION:
                client._queue.append((Exists("/zookeeper", None), late))

        monkeypatch.setattr(client, "_notify_pending", empty_and_be_late)
        await proxy.expire_sessions()
        with pytest.raises(SessionExpiredError):
            await call(late.get, timeout=10)


async def test_closing_ends_calls_and_threads(url, through, proxy):
    """Waiting calls raise; a callback that hangs doesn't delay it."""
    entered_, leave = threading.Event(), threading.Event()
    async with closing(open_registry(through)) as (registry,):
        client = session_of(registry).client

        def hang(_: object) -> None:
            entered_.set()
            leave.wait(30)

        client.get_async("/zookeeper").rawlink(hang)
        assert await call(entered_.wait, 10)
        await cut_off(proxy, registry)
        blocked = asyncio.ensure_future(call(client.get, "/zookeeper"))
        await eventually(lambda: client._queue, "the request in the queue")
        async with asyncio.timeout(2):
            await registry.aclose()
        with pytest.raises((ConnectionLoss, ConnectionClosedError)):
            await blocked
        with pytest.raises(ConnectionClosedError):
            await call(client.get, "/zookeeper")
        leave.set()
        with pytest.raises(RegistryClosedError, match="open another one"):
            _ = session_of(registry).client


async def test_nodes_of_the_client_have_the_registrys_access_list(guarded, server):
    """With acl=creator, which credentials imply."""
    path = f"{base_of(guarded)}/mine"
    async with closing(open_registry(guarded)) as (registry,), bare_client(server.address) as other:
        await call(session_of(registry).client.create, path, b"", makepath=True)
        acls, _ = await call(session_of(registry).client.get_acls, path)
        assert [each.id.scheme for each in acls] == ["digest"]
        with pytest.raises(NoAuthError):
            await call(other.get, path)


async def test_states_of_the_session(through, proxy):
    """Each is reported once, in order."""
    async with closing(open_registry(through)) as (registry,):
        session = session_of(registry)
        states = session.states()
        assert await anext(states) == "CONNECTED"
        await cut_off(proxy, registry)
        assert await anext(states) == "SUSPENDED"
        await proxy.heal()
        assert await anext(states) == "CONNECTED"
        await proxy.expire_sessions()
        assert [await anext(states) for _ in range(3)] == ["SUSPENDED", "LOST", "CONNECTED"]
        assert session.connected
    assert await anext(states) == "SUSPENDED"
    await states.aclose()
