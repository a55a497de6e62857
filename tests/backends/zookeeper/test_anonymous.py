"""Where access lists are set, an unauthenticated client can do nothing, and gets an error that says so."""

import asyncio
import time

import pytest
from kazoo.exceptions import NoAuthError
from kazoo.security import OPEN_ACL_UNSAFE
from tests.backends.zookeeper.support import (
    CLOSING,
    OTHER,
    PASSWORD,
    bare_client,
    folder_of,
    warnings_in,
    with_credentials,
)

from peerage import Discovery, RegistryDeniedError, open_registry
from peerage.registry import Gone, Put, Snapshot
from peerage.testing import View, eventually
from peerage.testing.harness import closing, registered


async def test_all_nodes_of_a_registry_are_closed(url, guarded, secret, server):
    """No reading, writing, adding or removing of record, secret, their folders and the path."""
    folder = folder_of(url)
    async with closing(open_registry(guarded)) as (here,), bare_client(server.address) as stranger:
        owner = await registered(here, "Guarded", b"{}")
        assert await here.secrets.obtain(secret, lambda: b"secret") == b"secret"
        nodes = (
            f"{folder}/{owner.name}",
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
        # The node above decides about removing the topmost node; here that is the root.
        for path in nodes[:-1]:
            with pytest.raises(NoAuthError):
                await asyncio.to_thread(stranger.delete, path)
        with pytest.raises(NoAuthError):
            await asyncio.to_thread(
                stranger.create, f"{folder}/Forged.", b"{}", ephemeral=True, sequence=True
            )
        async with closing(open_registry(guarded)) as (again,), View(again) as view:
            await view.until_data([b"{}"])
            assert await again.secrets.obtain(secret, lambda: b"another") == b"secret"
            await owner.withdraw()
            await view.until_data([])


@pytest.mark.parametrize("who", ["anonymous", "another user"])
async def test_errors_name_the_node_and_what_to_do(url, guarded, secret, loud, who):
    """Denied or stale, never an empty snapshot, also without any node at first; no password."""
    outsider = url if who == "anonymous" else with_credentials(url, "other", OTHER)
    async with (
        closing(open_registry(guarded), open_registry(outsider)) as (here, outside),
        View(outside) as early,
    ):
        await early.until(lambda: early.ready)
        await registered(here, "Guarded", b"{}")
        await here.secrets.obtain(secret, lambda: b"secret")
        async with View(outside) as view:
            await view.until(lambda: view.stale)
            assert folder_of(url) in view.stale
            assert "credentials" in view.stale
            assert not [event for event in view.events if isinstance(event, Snapshot | Put | Gone)]
        with pytest.raises(RegistryDeniedError, match="credentials") as denied:
            await outside.advertise("Outside", b"{}").registered()
        assert folder_of(url) in str(denied.value)
        for attempt in (
            outside.secrets.obtain(secret, lambda: b"mine"),
            outside.secrets.obtain(f"{secret}-new", lambda: b"mine"),
            anext(aiter(outside.secrets.follow(secret))),
        ):
            with pytest.raises(RegistryDeniedError, match="credentials") as denied:
                await attempt
            assert secret in str(denied.value)
        begun = time.monotonic()
        await outside.aclose()
        assert time.monotonic() - begun < CLOSING
    assert PASSWORD not in loud.text
    assert OTHER not in loud.text


async def test_a_refused_service_gets_an_error(url, guarded, caplog):
    """Discovery.advertise raises; the log has it once; closing is quick."""
    async with closing(open_registry(guarded)) as (here,):
        await registered(here, "Guarded", b"{}")
        async with Discovery(with_credentials(url, "other", OTHER)) as discovery:
            with pytest.raises(RegistryDeniedError, match=folder_of(url)):
                await discovery.advertise(port=8080)
            await eventually(lambda: discovery.stale)
            assert "credentials" in discovery.stale
            begun = time.monotonic()
        assert time.monotonic() - begun < CLOSING
    said = warnings_in(caplog)
    assert sum("isn't registered" in line for line in said) == 1, said
    assert len(said) == len(set(said)), said
