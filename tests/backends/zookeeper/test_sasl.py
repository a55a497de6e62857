"""SASL DIGEST-MD5 with real servers: one also accepts clients without it, the other doesn't."""

import asyncio
import logging
import time

import pytest
from kazoo.exceptions import NoAuthError
from tests.backends.zookeeper.support import CLOSING, OTHER, PASSWORD, bare_client, warnings_in

from peerage import Discovery, open_registry
from peerage.testing import View, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.zookeeper import Proxy, ZooKeeperServer

PROVIDER = {"authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"}
STRICT = {"requireClientAuthScheme": "sasl", "sessionRequireClientSASLAuth": "true"}


def server_of(folder, options) -> ZooKeeperServer:
    """A server with the user 'service'."""
    jaas = folder / "jaas.conf"
    jaas.write_text(
        "Server {\n"
        "  org.apache.zookeeper.server.auth.DigestLoginModule required\n"
        f'  user_service="{PASSWORD}";\n'
        "};\n"
    )
    return ZooKeeperServer(
        folder, options={**PROVIDER, **options}, jvm=[f"-Djava.security.auth.login.config={jaas}"]
    )


@pytest.fixture(scope="module")
def lenient(tmp_path_factory):
    with server_of(tmp_path_factory.mktemp("lenient"), {}) as server:
        yield server


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    with server_of(tmp_path_factory.mktemp("strict"), STRICT) as server:
        yield server


class Counting(Proxy):
    """A proxy that notes when connections were made."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.taken_at: list[float] = []

    def taken(self, reader, writer) -> None:
        self.taken_at.append(time.monotonic())
        super().taken(reader, writer)


@pytest.fixture
async def proxy(strict):
    """In front of the server that requires SASL."""
    async with Counting(strict.address) as proxy:
        yield proxy


def entry(address: str, password: str = PASSWORD) -> str:
    return f"zookeeper://service:{password}@{address}/sasl?auth=sasl&session_timeout=3"


async def test_the_right_password(lenient):
    """Records are created and seen, and are closed to unauthenticated clients."""
    url = entry(lenient.address)
    async with closing(open_registry(url), open_registry(url)) as (here, there):
        owner = await registered(here, "App", b"{}")
        async with View(there) as view, bare_client(lenient.address) as stranger:
            await view.until_data([b"{}"])
            for call, arguments in (
                (stranger.get, (f"/sasl/run/{owner.name}",)),
                (stranger.delete, (f"/sasl/run/{owner.name}",)),
                (stranger.create, ("/sasl/run/Forged", b"{}")),
            ):
                with pytest.raises(NoAuthError):
                    await asyncio.to_thread(call, *arguments)


async def test_a_wrong_password(lenient, caplog):
    """The reason names the authentication; the log has one line, and no password is anywhere."""
    caplog.set_level(logging.DEBUG)
    registry = open_registry(entry(lenient.address, OTHER))
    async with View(registry) as view:
        await view.until(lambda: view.stale)
        assert "credentials" in view.stale, view.stale
        assert view.events[-1].refused
        assert not view.ready
        await registry.aclose()
    assert not warnings_in(caplog)
    assert OTHER not in caplog.text


async def test_a_server_that_requires_sasl(strict, proxy, loud):
    """Records and secrets work, also after a reconnect; inspect() has a version and no password."""
    async with (
        closing(open_registry(entry(strict.address)), open_registry(entry(proxy.address))) as (here, there),
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
    assert PASSWORD not in loud.text


@pytest.mark.parametrize("wrong", ["password", "scheme", "none"])
async def test_wrong_credentials_for_a_server_that_requires_sasl(proxy, loud, wrong):
    """The reason names them; one line of log, pauses between attempts, quickly closed."""
    url = {
        "password": entry(proxy.address, OTHER),
        "scheme": entry(proxy.address).replace("auth=sasl", "auth=digest"),
        "none": entry(proxy.address).replace(f"service:{PASSWORD}@", "").replace("auth=sasl&", ""),
    }[wrong]
    async with Discovery(url) as discovery:
        await eventually(lambda: discovery.stale)
        await eventually(lambda: len(proxy.taken_at) > 3)
        assert "credentials" in discovery.stale, discovery.stale
        assert discovery.membership.refused
        # About every two seconds.
        assert proxy.taken_at[3] - proxy.taken_at[0] > 1.0, proxy.taken_at
        health = await discovery.registry.inspect()
        assert (health.state, health.writable) == ("stale", False)
        assert "credentials" in health.problem
        begun = time.monotonic()
    assert time.monotonic() - begun < CLOSING
    (line,) = warnings_in(loud)
    assert "credentials" in line
    assert PASSWORD not in loud.text
    assert OTHER not in loud.text
