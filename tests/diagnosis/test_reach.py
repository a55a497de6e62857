"""Whether instances answer: real servers, dead ports, stopped processes, other services, wrong clocks."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from time import time
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from peerage import Discovery
from peerage.doctor import diagnose
from peerage.records.identity import host_key
from peerage.registry import open_registry
from peerage.testing.harness import closing, registered
from peerage.web import refuse_misdirected

URL = "memory:reach"


def record(port: int, name: str = "orders", **own: Any) -> bytes:
    """The record of a service on loopback of this host."""
    fields = {"host_key": host_key(), **own}
    return json.dumps(
        {"host": "h", "service_id": name, "web": [["127.0.0.1", port]], "peerage": fields}
    ).encode()


async def found(*records: bytes) -> list[tuple[str, str, str]]:
    """Check, severity and text of what isn't ok about the records."""
    async with closing(open_registry(URL)) as (registry,):
        for each in records:
            await registered(registry, "App", each)
        diagnosis = await diagnose(URL)
    return [
        (each.check, each.severity.value, each.what)
        for each in diagnosis.findings
        if each.check in {"port", "host", "clock"} and each.severity != "ok"
    ]


@asynccontextmanager
async def serving(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that answers everything with *answer*, and closes. Yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


def head(status: str = "200 OK", ahead: float = 0.0) -> bytes:
    return f"HTTP/1.1 {status}\r\nDate: {formatdate(time() + ahead, usegmt=True)}\r\n\r\n".encode()


@pytest.fixture
def certified() -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("orders.service-id.asab").configure_cert(context)
    return context


async def test_a_service_that_answers():
    """Without and with TLS, and where the record doesn't say which."""
    async with serving(head()) as port:
        assert await found(record(port), record(port, "stock", scheme="http")) == []


async def test_a_service_with_tls(certified):
    async with serving(head(), certified) as port:
        assert await found(record(port), record(port, "stock", scheme="https")) == []
        [(_, severity, what)] = await found(record(port, scheme="http"))
        assert severity == "problem"
        assert "speaks TLS, and the record says http" in what


async def test_a_dead_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        [(check, severity, what)] = await found(record(bound.getsockname()[1]))
    assert (check, severity) == ("port", "problem")
    assert "accepts no connection (Connection refused)" in what


@pytest.mark.long
async def test_a_process_that_hangs():
    """Asked for two seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts for it
        port = silent.getsockname()[1]
        [(_, severity, what)] = await found(record(port, scheme="http"))
    assert severity == "problem"
    assert "accepts connections, but doesn't answer within 2 s" in what


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"])
async def test_a_port_of_another_protocol(answer):
    async with serving(answer) as port:
        [(_, severity, what)] = await found(record(port, scheme="http"))
    assert severity == "problem"
    assert "closes connections without an answer in HTTP" in what


async def test_https_that_is_none():
    async with serving(head()) as port:
        [(_, severity, what)] = await found(record(port, scheme="https"))
    assert severity == "problem"
    assert "doesn't speak TLS, and the record says https" in what


async def test_a_service_that_fails():
    async with serving(head("503 Service Unavailable")) as port:
        [(check, severity, what)] = await found(record(port))
    assert (check, severity) == ("port", "warning")
    assert "answers with the status 503" in what


@pytest.mark.parametrize(("ahead", "severity"), [(-30, "warning"), (3600, "problem")])
async def test_a_wrong_clock(ahead, severity):
    async with serving(head(ahead=ahead)) as port:
        assert [each[:2] for each in await found(record(port))] == [("clock", severity)]


async def test_a_host_without_an_address():
    """An advertised address helps, and services on ASAB don't know it."""
    nowhere = {"host": "nowhere.invalid", "service_id": "orders", "web": [["0.0.0.0", 80]]}
    [(check, severity, what)] = await found(json.dumps(nowhere).encode())
    assert (check, severity) == ("host", "problem")
    assert "nowhere.invalid has no address here" in what


async def test_a_port_that_another_service_has_taken():
    """It says so itself, if it is one of peerage."""
    async with Discovery(URL, service_id="stock") as discovery:
        app = web.Application(middlewares=[refuse_misdirected(discovery)])
        async with TestServer(app) as server:
            await discovery.advertise(web=[("127.0.0.1", server.port)])
            [(check, severity, what)] = await found(record(server.port, "orders"))
    assert (check, severity) == ("port", "problem")
    assert "is answered by another service" in what
