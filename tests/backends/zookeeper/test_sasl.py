"""SASL DIGEST-MD5 against a real server that knows one user."""

import asyncio
import logging

import pytest
from kazoo.exceptions import NoAuthError
from tests.backends.zookeeper.support import bare_client

from peerage import open_registry
from peerage.testing import View
from peerage.testing.suite import closing, registered
from peerage.testing.zookeeper import ZooKeeperServer

PASSWORD = "pass-7391-word"


@pytest.fixture(scope="module")
def sasl_server(tmp_path_factory):
    """A server with the user 'service'."""
    folder = tmp_path_factory.mktemp("sasl")
    jaas = folder / "jaas.conf"
    jaas.write_text(
        "Server {\n"
        "  org.apache.zookeeper.server.auth.DigestLoginModule required\n"
        f'  user_service="{PASSWORD}";\n'
        "};\n"
    )
    options = {"authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"}
    with ZooKeeperServer(
        folder, options=options, jvm=[f"-Djava.security.auth.login.config={jaas}"]
    ) as server:
        yield server


def _url(server: ZooKeeperServer, password: str = PASSWORD) -> str:
    return f"zookeeper://service:{password}@{server.address}/sasl?auth=sasl&session_timeout=3"


async def test_who_has_the_password_is_let_in(sasl_server):
    """Records are made and seen, and closed to whoever has not authenticated."""
    async with closing(open_registry(_url(sasl_server)), open_registry(_url(sasl_server))) as (here, there):
        owner = await registered(here, "App", b"{}")
        async with View(there) as view, bare_client(sasl_server.address) as stranger:
            await view.until_data([b"{}"])
            for call, arguments in (
                (stranger.get, (f"/sasl/run/{owner.node}",)),
                (stranger.delete, (f"/sasl/run/{owner.node}",)),
                (stranger.create, ("/sasl/run/Forged", b"{}")),
            ):
                with pytest.raises(NoAuthError):
                    await asyncio.to_thread(call, *arguments)


async def test_a_wrong_password_is_said(sasl_server, caplog):
    """Stale with a reason that names the authentication, no line for each attempt, no password anywhere."""
    caplog.set_level(logging.DEBUG)
    registry = open_registry(_url(sasl_server, "wrong-1234-word"))
    async with View(registry) as view:
        await view.until(lambda: view.stale)
        assert "credentials" in view.stale, view.stale
        assert not view.ready
        await registry.aclose()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "wrong-1234-word" not in caplog.text
