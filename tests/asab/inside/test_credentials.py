"""A session of our own is opened as the container's kazoo client opens its."""

import asyncio
from types import SimpleNamespace

import pytest
from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE
from tests.asab.inside.programs import guest, named
from tests.asab.inside.reader import Reader
from tests.asab.zookeeper.programs import on
from tests.backends.zookeeper.support import bare_client

from peerage.asab.inside.kazooclient import registry_url
from peerage.backends.zookeeper.location import Location, parse
from peerage.errors import ConfigurationError


def container_of(client: KazooClient, path: str = "asab") -> SimpleNamespace:
    """The attributes of a container that describe its connection."""
    return SimpleNamespace(ZooKeeper=SimpleNamespace(Client=client), Path=path)


def opened_as(client: KazooClient, path: str = "asab") -> Location:
    """Where a registry is, of a container that has this client."""
    return parse(registry_url(container_of(client, path)), {})


def test_servers_and_path():
    """Each with its port, IPv6 among them; the path below the chroot."""
    location = opened_as(KazooClient("zk-1, ZK-2:2182,[::1]:2183/a/b"), "c d/é")
    assert sorted(location.hosts.split(",")) == ["[::1]:2183", "zk-1:2181", "zk-2:2182"]
    assert location.path == "/a/b/c d/é"
    assert (location.tls, location.credentials, location.acl) == (None, None, "open")
    assert opened_as(KazooClient("zk-1"), "").path == ""


@pytest.mark.parametrize("password", ["secret", "a:b@c/d?e#f%g", "é", " "])
def test_digest(password):
    """The client's credentials are used; nodes are open unless the client makes them otherwise."""
    client = KazooClient("zk-1", auth_data=[("digest", f"me:{password}")])
    location = opened_as(client)
    assert location.credentials is not None
    assert (location.credentials.mechanism, location.credentials.user) == ("digest", "me")
    assert location.credentials.password == password
    assert location.acl == "open"
    client.default_acl = CREATOR_ALL_ACL
    assert opened_as(client).acl == "creator"


def test_a_chosen_access_list_is_used(monkeypatch):
    """The variable of the registry wins; the client's default is used without it."""
    monkeypatch.setenv("PEERAGE_ZOOKEEPER_ACL", "creator")
    client = KazooClient("zk-1", auth_data=[("digest", "me:secret")])
    assert "acl=" not in registry_url(container_of(client))


def test_sasl():
    """With a user and a password."""
    options = {"mechanism": "DIGEST-MD5", "username": "me", "password": "p"}
    location = opened_as(KazooClient("zk-1", sasl_options=options))
    assert location.credentials is not None
    assert (location.credentials.mechanism, location.credentials.user) == ("sasl", "me")


def test_tls():
    """The same files; the server's name is checked if the client checks it."""
    files = {"ca": "/a b/ca.pem", "certfile": "/c.pem", "keyfile": "/k.pem"}
    location = opened_as(KazooClient("zk-1", use_ssl=True, **files))
    assert location.tls is not None
    assert (location.tls.ca, location.tls.certificate, location.tls.key) == tuple(files.values())
    assert not location.tls.check_hostname
    client = KazooClient("zk-1", use_ssl=True, check_hostname=True)
    tls = opened_as(client).tls
    assert tls is not None
    assert (tls.ca, tls.certificate, tls.key, tls.check_hostname) == (None, None, None, True)


def test_servers_that_are_not_verified():
    """The error names the options to use instead."""
    with pytest.raises(ConfigurationError, match="ca="):
        opened_as(KazooClient("zk-1", use_ssl=True, verify_certs=False))


@pytest.mark.parametrize("kind", ["two", "another scheme", "kerberos"])
def test_credentials_that_we_cannot_use(caplog, kind):
    """A warning without them."""
    client = {
        "two": lambda: KazooClient("zk-1", auth_data=[("digest", "a:secret"), ("digest", "b:secret")]),
        "another scheme": lambda: KazooClient("zk-1", auth_data=[("super", "a:secret")]),
        "kerberos": lambda: KazooClient("zk-1", sasl_options={"mechanism": "GSSAPI"}),
    }[kind]()
    location = opened_as(client)
    assert (location.credentials is not None) == (kind == "two")
    assert "credentials that discovery can't use" in caplog.text
    assert "secret" not in caplog.text


async def test_where_only_a_user_may_write(inside, zookeeper):
    """The program adds credentials to its container's client, as there is nothing else to add them to."""
    environ = on(zookeeper)
    async with bare_client(zookeeper.address, auth_data=[("digest", "me:secret")]) as client:
        for path in (environ["TEST_PATH"], f"{environ['TEST_PATH']}/run"):
            await asyncio.to_thread(client.create, path, b"", CREATOR_ALL_ACL)
        program = """
app = Guest()
app.Zk.ZooKeeper.Client.auth_data = {("digest", "me:secret")}
app.run()
"""
        async with (
            guest(inside, named(environ, "my-1"), program) as one,
            Reader(zookeeper.address, environ["TEST_PATH"]) as reader,
        ):
            await asyncio.to_thread(reader.client.add_auth, "digest", "me:secret")
            node, _, _ = await reader.one_of("my-1")
            acls, _ = await asyncio.to_thread(reader.client.get_acls, f"{reader.folder}/{node}")
            assert acls == OPEN_ACL_UNSAFE
            await one.found(instance_id="my-1")
            one.running.terminate()
            assert (await one.running.end())[0] == 0
            assert "secret" not in one.running.log
