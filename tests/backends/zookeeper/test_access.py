"""Access lists that were there before: open ones, others' ones, shared nodes, keys that may be anybody's."""

import asyncio
import itertools

import pytest
from kazoo.exceptions import NoAuthError
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, make_acl, make_digest_acl
from tests.backends.zookeeper.support import (
    OTHER,
    PASSWORD,
    bare_client,
    entered,
    folder_of,
    followed,
    obtained,
    told,
    warnings_in,
)

from peerage import RegistryDeniedError, open_registry
from peerage.errors import PeerageError
from peerage.testing import View
from peerage.testing.suite import closing, registered

_numbers = itertools.count()


def folder_of_secret(secret: str) -> str:
    return secret.rpartition("/")[0]


# Folders


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
        for registry in (there, here):
            assert await registry.secrets.obtain(secret, lambda: b"another") == b"shared"
        for path in (f"{folder_of(url)}/{owner.name}", folder_of(url), secret):
            acls, _ = await asyncio.to_thread(stranger.get_acls, path)
            assert acls == OPEN_ACL_UNSAFE
        health = await here.inspect()
        assert (health.state, health.writable, health.problem) == ("connected", True, None)
    assert not warnings_in(caplog)


async def test_each_open_folder_is_complained_about_once(url, guarded, server, caplog):
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
    assert len(said) == 2, said
    for path, line in zip((folder.rpartition("/")[0], folder), said, strict=True):
        assert f"in {path} of" in line
        assert "acl=creator" in line


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
async def test_a_key_that_anybody_may_change_is_complained_about_once(guarded, secret, stranger, caplog, ask):
    """It is what all others use, so it is used, and left as it is; the line says what to do."""
    await asyncio.to_thread(stranger.create, secret, b"whose?", makepath=True)
    async with closing(open_registry(guarded)) as (registry,):
        for _ in range(3):
            assert await ask(registry.secrets, secret) == b"whose?"
    acls, _ = await asyncio.to_thread(stranger.get_acls, secret)
    assert acls == OPEN_ACL_UNSAFE
    (line,) = warnings_in(caplog)
    assert line.startswith(f"Anybody may change the secret '{secret}' of")
    for advice in ("set the access lists", "acl=creator", "remove it"):
        assert advice in line
    assert "whose?" not in line


async def test_so_is_one_in_a_folder_that_anybody_may_change(guarded, secret, stranger, caplog):
    """Who may remove the node and make it again doesn't need its own list to be open."""
    await asyncio.to_thread(stranger.ensure_path, folder_of_secret(secret))
    forged = [*READ_ACL_UNSAFE, make_digest_acl("other", OTHER, all=True)]
    await asyncio.to_thread(stranger.create, secret, b"forged", acl=forged)
    async with closing(open_registry(guarded)) as (registry,):
        assert await registry.secrets.obtain(secret, lambda: b"another") == b"forged"
    (line,) = warnings_in(caplog)
    assert line.startswith(f"Anybody may change the secret '{secret}' of")


@pytest.mark.parametrize("ask", [obtained, followed])
@pytest.mark.parametrize("opened", ["folder", "node", "both"])
async def test_written_out_it_closes_a_key(*, guarded, secret, stranger, administrator, caplog, opened, ask):
    """acl=creator: nobody else changes it any more. It may be a stranger's: said, and not replaced."""
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
    assert line.startswith(f"Anybody could change the secret '{secret}' of")
    assert "remove it" in line
    assert "acl=creator" not in line


@pytest.mark.parametrize("where", ["outside of the path", "without the right to"])
async def test_a_key_that_it_may_not_close(*, url, guarded, secret, stranger, caplog, where):
    """It is said to be open, and nothing is advised that was done already."""
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
    assert line.startswith(f"Anybody may change the secret '{secret}' of")
    assert "acl=creator" not in line


async def test_a_key_of_our_own_is_no_reason_to_warn(guarded, secret, caplog):
    """Made here, found by others who have the credentials."""
    async with closing(open_registry(guarded), open_registry(guarded)) as (here, there):
        assert await here.secrets.obtain(secret, lambda: b"ours") == b"ours"
        for ask in (obtained, followed):
            assert await ask(there.secrets, secret) == b"ours"
    assert not warnings_in(caplog)


# What is shown of it all


async def test_no_password_is_ever_shown(url, secret, server, proxy, loud):
    """At DEBUG, kazoo's and asyncio's included: not in the log, an error, an object's repr, a URL."""
    shown = []
    through = entered(url, "other", OTHER).replace(server.address, proxy.address)
    async with closing(open_registry(entered(url)), open_registry(through)) as (here, outside):
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
                shown.append(told(denied.value))
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
    shown.append(told(closed.value))
    for password in (PASSWORD, OTHER):
        assert password not in loud.text
        assert not [text for text in shown if password in text]
    assert "secret-9513-value" not in loud.text
