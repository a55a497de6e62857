"""Credentials in every direction: other users, open lists, nodes that others share, what inspect() says."""

import asyncio
import itertools
import logging
import time

import pytest
from kazoo.exceptions import NoAuthError
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, make_digest_acl
from tests.backends.zookeeper.support import bare_client, folder_of

from peerage import Discovery, RegistryDenied, open_registry
from peerage.errors import PeerageError
from peerage.registry import Gone, Put, Snapshot
from peerage.testing import View, eventually
from peerage.testing.suite import closing, registered
from peerage.testing.zookeeper import Proxy, ZooKeeperServer

#: In each direction of a test: whoever sees it somewhere has found a leak.
PASSWORD = "pass-7391-word"
OTHER = "pass-8402-word"

#: Seconds in which closing has to return: one, and as much again for a machine under load.
CLOSING = 2.0

_numbers = itertools.count()


def entered(url: str, user: str = "user", password: str = PASSWORD) -> str:
    """The same registry, with credentials."""
    return url.replace("://", f"://{user}:{password}@")


@pytest.fixture
def guarded(url) -> str:
    return entered(url)


@pytest.fixture
def secret(url) -> str:
    """Path of a secret within the registry's path, in a folder of its own."""
    return f"{folder_of(url).rpartition('/')[0]}/auth/key"


@pytest.fixture
def loud(caplog):
    """Everything is logged, by kazoo and asyncio as well."""
    caplog.set_level(logging.DEBUG)
    for name in ("kazoo", "kazoo.client", "asyncio", "peerage"):
        caplog.set_level(logging.DEBUG, name)
    return caplog


def warnings_in(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def texts(error: BaseException | None) -> str:
    """All that an error could show: its own text and its causes'."""
    shown = []
    while error is not None:
        shown += [str(error), repr(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


async def close_quickly(registry) -> None:
    begun = time.monotonic()
    await registry.aclose()
    assert time.monotonic() - begun < CLOSING


async def test_nothing_on_the_way_is_left_to_strangers(url, guarded, secret, server):
    """Record, secret, their folders, the path itself: no reading, writing, adding, removing, taking over."""
    folder = folder_of(url)
    async with closing(open_registry(guarded)) as (here,), bare_client(server.address) as stranger:
        owner = await registered(here, "Guarded", b"{}")
        assert await here.secrets.obtain(secret, lambda: b"secret") == b"secret"
        nodes = (
            f"{folder}/{owner.node}",
            folder,
            secret,
            secret.rpartition("/")[0],
            folder.rpartition("/")[0],
        )
        for path in nodes:
            for call, arguments in (
                (stranger.get, (path,)),
                (stranger.get_children, (path,)),
                (stranger.get_acls, (path,)),
                (stranger.set, (path, b"forged")),
                (stranger.set_acls, (path, OPEN_ACL_UNSAFE)),
                (stranger.create, (f"{path}/forged", b"forged")),
            ):
                with pytest.raises(NoAuthError):
                    await asyncio.to_thread(call, *arguments)
        # Removing the uppermost is up to the node above it, which the server's own root is here.
        for path in nodes[:-1]:
            with pytest.raises(NoAuthError):
                await asyncio.to_thread(stranger.delete, path)
        async with closing(open_registry(guarded)) as (again,), View(again) as view:
            await view.until_data([b"{}"])
            assert await again.secrets.obtain(secret, lambda: b"another") == b"secret"


async def test_another_user_is_told_which_node_and_what_to_do(url, guarded, secret):
    """Valid, but others' credentials: denied or stale, and never an empty snapshot."""
    async with (
        closing(open_registry(guarded), open_registry(entered(url, "other", OTHER))) as (here, outside),
        View(outside) as early,
    ):
        await early.until(lambda: early.ready)
        owner = await registered(here, "Guarded", b"{}")
        await here.secrets.obtain(secret, lambda: b"secret")
        async with View(outside) as view:
            await view.until(lambda: view.stale)
            assert folder_of(url) in view.stale
            assert "credentials" in view.stale
            assert not [event for event in view.events if isinstance(event, Snapshot | Put | Gone)]
        with pytest.raises(RegistryDenied, match="credentials") as denied:
            await outside.advertise("Outside", b"{}").registered()
        assert folder_of(url) in str(denied.value)
        for attempt in (
            outside.secrets.obtain(secret, lambda: b"mine"),
            outside.secrets.obtain(f"{secret}-new", lambda: b"mine"),
            anext(aiter(outside.secrets.follow(secret))),
        ):
            with pytest.raises(RegistryDenied, match="credentials") as denied:
                await attempt
            assert secret in str(denied.value)
        assert owner.node is not None
        await close_quickly(outside)


async def test_a_service_learns_that_it_is_not_let_in(url, guarded, caplog):
    """Discovery.advertise raises; nothing is repeated in the log; leaving is quick."""
    async with closing(open_registry(guarded)) as (here,):
        await registered(here, "Guarded", b"{}")
        async with Discovery(entered(url, "other", OTHER)) as discovery:
            with pytest.raises(RegistryDenied, match=folder_of(url)):
                await discovery.advertise(port=8080)
            await eventually(lambda: discovery.stale)
            assert "credentials" in discovery.stale
            begun = time.monotonic()
        assert time.monotonic() - begun < CLOSING
    said = warnings_in(caplog)
    assert sum("isn't registered" in line for line in said) == 1, said
    assert len(said) == len(set(said)), said


async def test_acl_open_is_open_whatever_the_credentials(url, guarded, secret, server, caplog):
    """acl=open: whoever has none reads, changes and finds the same; it is no reason to warn."""
    async with (
        closing(open_registry(f"{guarded}&acl=open"), open_registry(url)) as (here, there),
        View(there) as view,
        bare_client(server.address) as stranger,
    ):
        owner = await registered(here, "Open", b"{}")
        await here.secrets.obtain(secret, lambda: b"shared")
        await view.until_data([b"{}"])
        assert await there.secrets.obtain(secret, lambda: b"another") == b"shared"
        for path in (f"{folder_of(url)}/{owner.node}", folder_of(url), secret):
            acls, _ = await asyncio.to_thread(stranger.get_acls, path)
            assert acls == OPEN_ACL_UNSAFE
        health = await here.inspect()
        assert (health.state, health.writable, health.problem) == ("connected", True, None)
    assert not warnings_in(caplog)


async def test_each_open_node_is_complained_about_once(url, guarded, server, caplog):
    """Whatever was there before is left as it is, however many records come."""
    folder = folder_of(url)
    async with bare_client(server.address) as stranger:
        await asyncio.to_thread(stranger.ensure_path, folder)
        async with closing(open_registry(guarded)) as (registry,):
            for number in range(5):
                await registered(registry, f"Careful{number}", b"{}")
            health = await registry.inspect()
            assert "acl=creator" in health.problem
            assert folder in health.problem
            assert health.writable
        acls, _ = await asyncio.to_thread(stranger.get_acls, folder)
        assert acls == OPEN_ACL_UNSAFE
    said = warnings_in(caplog)
    assert [line.split()[8] for line in said] == [folder.rpartition("/")[0], folder], said


async def test_written_out_it_closes_the_path_and_nothing_above(server, caplog):
    """acl=creator: the path, the folder, the folders of secrets are closed, a node shared by others isn't."""
    top = f"/shared-{next(_numbers)}"
    url = f"zookeeper://user:{PASSWORD}@{server.address}{top}/asab?session_timeout=3&acl=creator"
    below = (f"{top}/asab", f"{top}/asab/run", f"{top}/asab/auth")
    async with bare_client(server.address) as stranger:
        for path in below:
            await asyncio.to_thread(stranger.ensure_path, path)
        async with closing(open_registry(url)) as (registry,):
            await registered(registry, "Strict", b"{}")
            await registry.secrets.obtain(f"{top}/asab/auth/key", lambda: b"secret")
            assert (await registry.inspect()).problem is None
        for path in below:
            with pytest.raises(NoAuthError):
                await asyncio.to_thread(stranger.create, f"{path}/forged", b"")
        await asyncio.to_thread(stranger.create, f"{top}/somebody-else", b"")
    said = warnings_in(caplog)
    assert len(said) == 1, said
    assert f"{top} " in said[0]
    # What was written already isn't what helps.
    assert "acl=creator" not in said[0]


async def test_somebody_elses_list_is_left_alone(url, server, caplog):
    """acl=creator closes what the world may change, not what an administrator arranged."""
    folder = folder_of(url)
    acls = [
        *READ_ACL_UNSAFE,
        make_digest_acl("user", PASSWORD, all=True),
        make_digest_acl("other", OTHER, all=True),
    ]
    async with bare_client(server.address, auth_data=[("digest", f"user:{PASSWORD}")]) as administrator:
        await asyncio.to_thread(administrator.ensure_path, folder, CREATOR_ALL_ACL)
        await asyncio.to_thread(administrator.set_acls, folder, acls)
        async with closing(open_registry(f"{entered(url)}&acl=creator")) as (registry,):
            await registered(registry, "Guest", b"{}")
            assert (await registry.inspect()).problem is None
        left, _ = await asyncio.to_thread(administrator.get_acls, folder)
        assert sorted(left) == sorted(acls)
    assert not warnings_in(caplog)


async def test_inspect_says_who_answers_and_what_may_be_done(url, guarded):
    """Server, version, session time-out, with access and without: also for who never tried to advertise."""
    async with closing(open_registry(guarded), open_registry(url)) as (here, outside):
        await registered(here, "Guarded", b"{}")
        health = await here.inspect()
        assert (health.state, health.writable, health.problem) == ("connected", True, None)
        assert health.version.startswith("3.")
        assert health.server in url
        assert health.session_timeout == 3.0
        denied = await outside.inspect()
        assert not denied.writable
        assert folder_of(url) in denied.problem
        assert "credentials" in denied.problem
        assert (denied.version, denied.server) == (health.version, health.server)
        async with View(outside) as view:
            await view.until(lambda: view.stale)
            denied = await outside.inspect()
            assert (denied.state, denied.writable) == ("stale", False)


async def test_inspect_of_who_may_read_only(url, server):
    """A folder that all may read and few may change: in touch, told apart from those who may."""
    folder = folder_of(url)
    acls = [*READ_ACL_UNSAFE, make_digest_acl("user", PASSWORD, all=True)]
    async with bare_client(server.address) as administrator:
        await asyncio.to_thread(administrator.ensure_path, folder)
        await asyncio.to_thread(administrator.set_acls, folder, acls)
    async with (
        closing(
            open_registry(entered(url)), open_registry(entered(url, "other", OTHER)), open_registry(url)
        ) as (member, other, anonymous),
    ):
        assert (await member.inspect()).writable
        for reader in (other, anonymous):
            async with View(reader) as view:
                await view.until(lambda: view.ready)
                health = await reader.inspect()
                assert (health.state, health.writable) == ("connected", False)
                assert folder in health.problem


async def test_inspect_of_a_server_that_is_down(guarded, server, loud):
    """Stale within a second, with what to do, while it was up before and if it never was."""
    proxy = Proxy(server.address)
    await proxy.start()
    url = guarded.replace(server.address, proxy.address)
    async with closing(open_registry(url), open_registry(url)) as (before, never):
        await registered(before, "Guarded", b"{}")
        assert (await before.inspect()).state == "connected"
        await proxy.aclose()
        async with View(before) as view:
            await view.until(lambda: view.stale)
        for registry in (before, never):
            begun = time.monotonic()
            health = await registry.inspect()
            assert time.monotonic() - begun < CLOSING
            assert (health.state, health.writable) == ("stale", False)
            assert (health.server, health.version) == (None, None)
            assert "check" in health.problem
            assert PASSWORD not in repr(health)
            await close_quickly(registry)
    assert PASSWORD not in loud.text


async def test_no_password_is_ever_shown(url, guarded, secret, server, loud):
    """At DEBUG, kazoo's and asyncio's included: not in the log, an error, an object's repr, a URL."""
    proxy = Proxy(server.address)
    await proxy.start()
    shown = []
    through = entered(url, "other", OTHER).replace(server.address, proxy.address)
    async with closing(open_registry(guarded), open_registry(through)) as (here, outside):
        await registered(here, "Guarded", b"{}")
        await here.secrets.obtain(secret, lambda: b"secret-9513-value")
        async with View(outside) as view:
            await view.until(lambda: view.stale)
            for attempt in (
                outside.advertise("Outside", b"{}").registered(),
                outside.secrets.obtain(secret, lambda: b"mine"),
            ):
                with pytest.raises(RegistryDenied) as denied:
                    await attempt
                shown.append(texts(denied.value))
            shown.append(repr(await outside.inspect()))
            proxy.cut()
            await view.until(lambda: "refused" not in view.stale)
            await view.until(lambda: "refused" in view.stale)
            await proxy.expire_sessions()
            await view.until(lambda: "refused" not in view.stale)
            await proxy.aclose()
            shown += [repr(view.events), repr(await outside.inspect())]
        for registry in (here, outside):
            shown += [registry.url, repr(registry), repr(registry.secrets), repr(vars(registry))]
    with pytest.raises(PeerageError) as closed:
        outside.advertise("Late", b"{}")
    shown.append(texts(closed.value))
    for password in (PASSWORD, OTHER):
        assert password not in loud.text
        assert not [text for text in shown if password in text]
    assert "secret-9513-value" not in loud.text


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server that wants SASL of everybody, and knows one user."""
    folder = tmp_path_factory.mktemp("strict")
    jaas = folder / "jaas.conf"
    jaas.write_text(
        "Server {\n"
        "  org.apache.zookeeper.server.auth.DigestLoginModule required\n"
        f'  user_service="{PASSWORD}";\n'
        "};\n"
    )
    options = {
        "authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        "requireClientAuthScheme": "sasl",
        "sessionRequireClientSASLAuth": "true",
    }
    with ZooKeeperServer(
        folder, options=options, jvm=[f"-Djava.security.auth.login.config={jaas}"]
    ) as server:
        yield server


class TestSasl:
    @staticmethod
    def url(address: str, password: str = PASSWORD) -> str:
        return f"zookeeper://service:{password}@{address}/sasl?auth=sasl&session_timeout=3"

    async def test_the_password_opens(self, strict, loud):
        """Records and secrets work, also after a reconnect; inspect() has a version; no password shows."""
        proxy = Proxy(strict.address)
        await proxy.start()
        async with (
            closing(open_registry(self.url(strict.address)), open_registry(self.url(proxy.address))) as (
                here,
                there,
            ),
            View(there) as view,
        ):
            owner = await registered(here, "App", b"{}")
            await view.until_data([b"{}"])
            assert await there.secrets.obtain("/sasl/auth/key", lambda: b"secret") == b"secret"
            proxy.cut()
            await view.until(lambda: view.stale)
            owner.update(b"[]")
            await view.until_data([b"[]"])
            health = await there.inspect()
            assert (health.state, health.writable, health.problem) == ("connected", True, None)
            assert health.version.startswith("3.")
        await proxy.aclose()
        assert PASSWORD not in loud.text

    @pytest.mark.parametrize("wrong", ["password", "scheme", "none"])
    async def test_what_is_wrong_is_said(self, strict, loud, wrong):
        """Stale naming the credentials, a line of the log, quickly closed; tried again, but not hotly."""
        proxy = _Counting(strict.address)
        await proxy.start()
        url = {
            "password": self.url(proxy.address, OTHER),
            "scheme": self.url(proxy.address).replace("auth=sasl", "auth=digest"),
            "none": self.url(proxy.address).replace(f"service:{PASSWORD}@", "").replace("auth=sasl&", ""),
        }[wrong]
        async with Discovery(url) as discovery:
            await eventually(lambda: discovery.stale)
            await eventually(lambda: proxy.taken_at and time.monotonic() - proxy.taken_at[0] > 3)
            assert discovery.stale
            if wrong == "password":
                assert "credentials" in discovery.stale, discovery.stale
            # Twice a second or so at most.
            print("TAKEN", len(proxy.taken_at))
            assert len(proxy.taken_at) < 25, len(proxy.taken_at)
            health = await discovery.registry.inspect()
            assert (health.state, health.writable) == ("stale", False)
            begun = time.monotonic()
        assert time.monotonic() - begun < CLOSING
        await proxy.aclose()
        assert len(warnings_in(loud)) == 1, warnings_in(loud)
        assert PASSWORD not in loud.text
        assert OTHER not in loud.text


class _Counting(Proxy):
    """Notes when connections were taken."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.taken_at: list[float] = []

    def taken(self, link) -> None:
        self.taken_at.append(time.monotonic())
        super().taken(link)
