"""Access lists that existed before: open ones, those of other users, and those of shared nodes and keys."""

import asyncio
import itertools

import pytest
from kazoo.exceptions import NoAuthError
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, make_acl, make_digest_acl
from tests.backends.zookeeper.support import (
    OTHER,
    PASSWORD,
    bare_client,
    everything_shown,
    folder_of,
    followed,
    obtained,
    warnings_in,
    with_credentials,
)

from peerage import RegistryDeniedError, open_registry
from peerage.errors import PeerageError
from peerage.testing import View
from peerage.testing.harness import closing, registered

_numbers = itertools.count()


def folder_of_secret(secret: str) -> str:
    return secret.rpartition("/")[0]


# Folders


async def test_with_acl_open_nodes_are_open_despite_credentials(url, guarded, secret, server, caplog):
    """Clients without credentials read and change them, and nothing is logged about it."""
    async with (
        closing(open_registry(f"{guarded}&acl=open"), open_registry(url)) as (here, there),
        View(there) as view,
        bare_client(server.address) as stranger,
    ):
        owner = await registered(here, "Open", b"{}")
        await here.secrets.obtain(secret, lambda: b"shared")
        await view.until_data([b"{}"])
        for registry in (there, here):
            assert await registry.secrets.obtain(secret, lambda: b"another") == b"shared"
        for path in (f"{folder_of(url)}/{owner.name}", folder_of(url), secret):
            acls, _ = await asyncio.to_thread(stranger.get_acls, path)
            assert acls == OPEN_ACL_UNSAFE
        health = await here.inspect()
        assert (health.state, health.writable, health.problem) == ("connected", True, None)
    assert not warnings_in(caplog)


async def test_each_open_folder_is_logged_once(url, guarded, server, caplog):
    """Folders that existed before stay as they are, however many records are advertised."""
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
    assert len(said) == 2, said
    for path, line in zip((folder.rpartition("/")[0], folder), said, strict=True):
        assert f"in {path} of" in line
        assert "acl=creator" in line


async def test_acl_creator_closes_the_path_and_nothing_above(server, caplog):
    """The path, the folder and the folders of secrets are closed; a shared node above isn't."""
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
        await asyncio.to_thread(stranger.create, f"{top}/of-another-user", b"")
    said = warnings_in(caplog)
    assert len(said) == 1, said
    assert f"{top} " in said[0]
    # The option is written already, so the advice mustn't repeat it.
    assert "acl=creator" not in said[0]


async def test_acl_creator_keeps_the_lists_of_others(url, server, caplog):
    """It closes nodes that every client may change, and keeps what an administrator has arranged."""
    folder = folder_of(url)
    acls = [
        *READ_ACL_UNSAFE,
        make_digest_acl("user", PASSWORD, all=True),
        make_digest_acl("other", OTHER, all=True),
    ]
    async with bare_client(server.address, auth_data=[("digest", f"user:{PASSWORD}")]) as administrator:
        await asyncio.to_thread(administrator.ensure_path, folder, CREATOR_ALL_ACL)
        await asyncio.to_thread(administrator.set_acls, folder, acls)
        async with closing(open_registry(f"{with_credentials(url)}&acl=creator")) as (registry,):
            await registered(registry, "Guest", b"{}")
            assert (await registry.inspect()).problem is None
        left, _ = await asyncio.to_thread(administrator.get_acls, folder)
        assert sorted(left) == sorted(acls)
    assert not warnings_in(caplog)


# Secrets


@pytest.fixture
async def stranger(server):
    async with bare_client(server.address) as client:
        yield client


@pytest.fixture
async def administrator(server):
    async with bare_client(server.address, auth_data=[("digest", f"user:{PASSWORD}")]) as client:
        yield client


@pytest.mark.parametrize("ask", [obtained, followed])
async def test_a_key_that_every_client_may_change_is_logged_once(guarded, secret, stranger, caplog, ask):
    """It is used and kept, because all others use it; the log says what to do."""
    await asyncio.to_thread(stranger.create, secret, b"whose?", makepath=True)
    async with closing(open_registry(guarded)) as (registry,):
        for _ in range(3):
            assert await ask(registry.secrets, secret) == b"whose?"
    acls, _ = await asyncio.to_thread(stranger.get_acls, secret)
    assert acls == OPEN_ACL_UNSAFE
    (line,) = warnings_in(caplog)
    assert line.startswith(f"Every client may change the secret '{secret}' of")
    for advice in ("set the access lists", "acl=creator", "remove it"):
        assert advice in line
    assert "whose?" not in line


async def test_a_key_in_a_folder_that_every_client_may_change_is_logged(guarded, secret, stranger, caplog):
    """Who may remove the node and create it again doesn't need an open list on the node itself."""
    await asyncio.to_thread(stranger.ensure_path, folder_of_secret(secret))
    forged = [*READ_ACL_UNSAFE, make_digest_acl("other", OTHER, all=True)]
    await asyncio.to_thread(stranger.create, secret, b"forged", acl=forged)
    async with closing(open_registry(guarded)) as (registry,):
        assert await registry.secrets.obtain(secret, lambda: b"another") == b"forged"
    (line,) = warnings_in(caplog)
    assert line.startswith(f"Every client may change the secret '{secret}' of")


@pytest.mark.parametrize("ask", [obtained, followed])
@pytest.mark.parametrize("opened", ["folder", "node", "both"])
async def test_acl_creator_closes_an_open_key(
    *, guarded, secret, stranger, administrator, caplog, opened, ask
):
    """Others can't change it any more. The log says that a stranger may have made it."""
    folder = folder_of_secret(secret)
    async with closing(open_registry(guarded)) as (registry,):
        await registry.secrets.obtain(secret, lambda: b"whose?")
    for path in {"folder": [folder], "node": [secret], "both": [folder, secret]}[opened]:
        await asyncio.to_thread(administrator.set_acls, path, OPEN_ACL_UNSAFE)
    async with closing(open_registry(f"{guarded}&acl=creator")) as (registry,):
        for _ in range(2):
            assert await ask(registry.secrets, secret) == b"whose?"
    for call, arguments in (
        (stranger.get, (secret,)),
        (stranger.set, (secret, b"forged")),
        (stranger.delete, (secret,)),
        (stranger.create, (f"{folder}/forged", b"forged")),
    ):
        with pytest.raises(NoAuthError):
            await asyncio.to_thread(call, *arguments)
    (line,) = warnings_in(caplog)
    assert line.startswith(f"Every client could change the secret '{secret}' of")
    assert "remove it" in line
    assert "acl=creator" not in line


@pytest.mark.parametrize("where", ["outside of the path", "without the right to"])
async def test_a_key_that_acl_creator_may_not_close_is_logged(
    *, url, guarded, secret, stranger, caplog, where
):
    """The advice doesn't repeat what was done already."""
    acls = OPEN_ACL_UNSAFE
    if where == "outside of the path":
        secret = f"{folder_of(url).rpartition('/')[0]}-other/key"
    else:
        acls = [make_acl("world", "anyone", read=True, write=True, create=True, delete=True)]
    await asyncio.to_thread(stranger.create, secret, b"whose?", acl=acls, makepath=True)
    async with closing(open_registry(f"{guarded}&acl=creator")) as (registry,):
        for _ in range(2):
            assert await registry.secrets.obtain(secret, lambda: b"another") == b"whose?"
    left, _ = await asyncio.to_thread(stranger.get_acls, secret)
    assert left == acls
    (line,) = warnings_in(caplog)
    assert line.startswith(f"Every client may change the secret '{secret}' of")
    assert "acl=creator" not in line


async def test_a_key_made_with_credentials_is_not_logged(guarded, secret, caplog):
    """Other processes with the credentials find it."""
    async with closing(open_registry(guarded), open_registry(guarded)) as (here, there):
        assert await here.secrets.obtain(secret, lambda: b"ours") == b"ours"
        for ask in (obtained, followed):
            assert await ask(there.secrets, secret) == b"ours"
    assert not warnings_in(caplog)


# What is shown to users


async def test_no_password_is_ever_shown(url, secret, server, proxy, loud):
    """Not at DEBUG, by kazoo or asyncio either: not in the log, an error, a repr or a URL."""
    shown = []
    through = with_credentials(url, "other", OTHER).replace(server.address, proxy.address)
    async with closing(open_registry(with_credentials(url)), open_registry(through)) as (here, outside):
        await registered(here, "Guarded", b"{}")
        await here.secrets.obtain(secret, lambda: b"secret-9513-value")
        async with View(outside) as view:
            await view.until(lambda: view.stale)
            for attempt in (
                outside.advertise("Outside", b"{}").registered(),
                outside.secrets.obtain(secret, lambda: b"mine"),
            ):
                with pytest.raises(RegistryDeniedError) as denied:
                    await attempt
                shown.append(everything_shown(denied.value))
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
    shown.append(everything_shown(closed.value))
    for password in (PASSWORD, OTHER):
        assert password not in loud.text
        assert not [text for text in shown if password in text]
    assert "secret-9513-value" not in loud.text
