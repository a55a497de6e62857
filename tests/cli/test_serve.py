"""``peerage serve`` as a process: where it listens, who may read, and how it ends."""

import json
import os
import re
import signal
from contextlib import AsyncExitStack

import aiohttp
import pytest
from tests.auth.support import ROOT, claims, jwk, jwks, token
from tests.cli.conftest import ended

from peerage import Discovery
from peerage.cli.run import CommandError
from peerage.cli.serve import Address, read_address, read_name
from peerage.cli.serve import serve as serve_until_cancelled
from peerage.cli.serve import serving as listening
from peerage.testing import eventually

#: A token that allows to read, and one that allows something else.
READER = token(claims(resources={"*": ["peerage:read"]}))
OTHER = token(claims(resources={"*": ["orders:read"], "acme": ["peerage:read"]}))


@pytest.fixture
def serving(started):
    """Start it on a free port, and return it and the URL of the page."""

    async def start(*args, http="127.0.0.1:0"):
        child = await started("serve", "--http", http, *args)
        line = await child.line()
        url = re.fullmatch(r"(http://\S+/) shows \S+ {3}Ctrl-C ends", line)
        assert url, line
        return child, url[1]

    return start


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:

        async def get(url, host=None, bearer=None):
            headers = {"Host": host} if host else {}
            headers |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
            async with session.get(url, headers=headers) as response:
                return response.status, await response.text()

        yield get


# Where it listens


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8600", Address("127.0.0.1", 8600)),
        ("[::1]:0", Address("::1", 0)),
        ("LocalHost:80", Address("localhost", 80)),
        ("0.0.0.0:65535", Address("0.0.0.0", 65535)),
    ],
)
def test_an_address_is_read(text, address):
    assert read_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "8600", ":8600", "127.0.0.1", "127.0.0.1:", "::1:80", "[::1]", "[node-1]:80", "a:65536", "a:-1"],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(CommandError, match=r"write address:port, for example 127\.0\.0\.1:8600") as caught:
        read_address(text)
    assert caught.value.code == 2


@pytest.mark.parametrize("text", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_loopback_is_this_machine_alone(text):
    assert read_address(text).loopback


@pytest.mark.parametrize(
    "text", ["0.0.0.0:1", "[::]:1", "192.168.1.5:1", "node-1:1", "localhost.example:1", "[::ffff:10.0.0.1]:1"]
)
def test_other_machines_reach_every_other_address(text):
    assert not read_address(text).loopback


@pytest.mark.parametrize(
    ("text", "name"), [("Monitor.Example.", "monitor.example"), ("[::1]", "::1"), ("10.0.0.5", "10.0.0.5")]
)
def test_a_name_is_read(text, name):
    assert read_name(text) == name


@pytest.mark.parametrize("text", ["", "monitor.example:8600", "http://monitor.example", "a b"])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(CommandError, match="write it without scheme and port") as caught:
        read_name(text)
    assert caught.value.code == 2


async def test_a_port_that_is_taken_is_named(free_port):
    async with Discovery("memory:") as discovery:
        with pytest.raises(CommandError) as caught:
            async with listening(discovery, Address("127.0.0.1", free_port)):
                pass
    assert caught.value.code == 1
    assert str(caught.value) == (
        f"Can't listen on 127.0.0.1, port {free_port}: Address already in use. Name another address with "
        "--http, for example --http 127.0.0.1:0 for a free port."
    )


async def test_the_page_and_its_rows(serving, serve, http):
    await serve("orders-1")
    child, url = await serving()
    status, page = await http(url)
    assert (status, "<title>" in page) == (200, True)

    async with aiohttp.ClientSession() as session, session.get(f"{url}v1/changes") as stream:
        await stream.content.readuntil(b'"orders-1"')
    child.signal(signal.SIGINT)
    assert await ended(child) == (130, "", "")


# How it ends


async def test_it_ends_at_once_while_200_clients_follow_the_changes(serving):
    child, url = await serving()
    connector = aiohttp.TCPConnector(limit=0)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        streams = [await stack.enter_async_context(session.get(f"{url}v1/changes")) for _ in range(200)]
        for stream in streams:
            await stream.content.readuntil(b"event: reset\n")
        child.terminate()
        for stream in streams:
            await stream.read()
        assert await ended(child) == (143, "", "")


# The registry


async def test_it_serves_while_the_registry_is_out_of_reach(serving, free_port, http):
    child, url = await serving("--registry", f"zookeeper://127.0.0.1:{free_port}/asab")
    assert (await http(url))[0] == 200
    _, status = await http(f"{url}v1/status")
    assert json.loads(status)["ready"] is False
    assert (await http(f"{url}readyz"))[0] == 503
    assert (await http(f"{url}healthz"))[0] == 200
    await eventually(lambda: "Nothing is known yet" in child.log)
    child.terminate()
    code, _, errors = await ended(child)
    assert code == 143
    assert errors.count("\n") == 1
    assert errors.startswith(
        f"peerage: Out of touch with the registry zookeeper://127.0.0.1:{free_port}/asab: "
    )


# Who may read


async def test_other_machines_need_a_decision():
    with pytest.raises(CommandError, match="--keys URL, or write --allow-anyone") as caught:
        await serve_until_cancelled("memory:", "0.0.0.0:0", [], [], allow_anyone=False)
    assert caught.value.code == 2


async def test_a_file_of_keys_must_exist(tmp_path):
    """A misspelt one would be noticed with the first token only."""
    with pytest.raises(CommandError, match=r"There is no file .*no-keys\.json.*--keys takes") as caught:
        await serve_until_cancelled(
            "memory:", "127.0.0.1:0", [], [f"{tmp_path}/no-keys.json"], allow_anyone=False
        )
    assert caught.value.code == 2


async def test_anyone_may_read_if_it_is_allowed(serving, http):
    child, url = await serving("--allow-anyone", http="0.0.0.0:0")
    port = url.rsplit(":", 1)[1].rstrip("/")
    assert await http(f"{url}v1/status", host=f"node-1.example:{port}") == (
        421,
        '{"error": "This server doesn\'t have that name: add it with --host-name."}',
    )
    assert (await http(f"{url}v1/status"))[0] == 200
    child.terminate()
    code, _, errors = await ended(child)
    assert code == 143
    assert errors.splitlines() == [
        "peerage: Other machines can reach 0.0.0.0, and every caller can read all records.",
        "peerage: Only requests to localhost are answered: name this server with --host-name NAME.",
    ]


async def test_a_token_that_allows_to_read_is_needed_with_keys(serving, http, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(jwk()))
    child, url = await serving("--keys", os.fspath(keys), "--host-name", "monitor.example", http="0.0.0.0:0")
    assert url.startswith("http://monitor.example:")
    local = url.replace("monitor.example", "127.0.0.1")
    for path in ("", "v1/status", "v1/instances", "v1/changes", "static/page.css", "nowhere"):
        assert (await http(f"{local}{path}", host="monitor.example"))[0] == 401, path
        assert (await http(f"{local}{path}", bearer=OTHER))[0] == 403, path
        assert (await http(f"{local}{path}", bearer=READER, host="elsewhere.example"))[0] == 421, path
    for bearer in (READER, ROOT):
        assert (await http(f"{local}v1/status", bearer=bearer, host="Monitor.Example:80"))[0] == 200
    assert (await http(f"{local}nowhere", bearer=READER))[0] == 404
    child.terminate()
    code, _, errors = await ended(child)
    assert code == 143
    assert "callers need a token that allows peerage:read" in errors
    assert "Traceback" not in errors
