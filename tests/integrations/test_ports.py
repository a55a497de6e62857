"""The sockets that serve an application are found among those of the process."""

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager, suppress

import trustme

from peerage.integrations.ports import IDENTIFY, Bound, find_served, identification, listening
from peerage.testing import eventually

_NAME = identification("orders")


@asynccontextmanager
async def answering(answer, *, tls=None, address="127.0.0.1"):
    """A server that answers each request with the same bytes; yields its port."""
    under_way = 0

    async def handle(reader, writer):
        nonlocal under_way
        under_way += 1
        # A server that doesn't speak TLS gets the beginning of a handshake and then the end.
        with suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer.encode())
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        under_way -= 1

    server = await asyncio.start_server(handle, address, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await eventually(lambda: under_way == 0, "the end of every connection")


def identified(name=_NAME):
    return f"HTTP/1.1 204 No Content\r\nx: y\r\n{IDENTIFY.lower()}: {name}\r\n\r\n"


def test_only_sockets_that_listen_are_listed():
    """They stay open."""
    before = listening()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as idle:
        name = server.getsockname()
        idle.bind(("127.0.0.1", 0))
        with socket.create_connection(name) as client, server.accept()[0] as accepted:
            assert set(listening()) - set(before) == {Bound(*name)}
            client.sendall(b"x")
            assert accepted.recv(1) == b"x"


async def test_a_server_is_found_by_its_answer():
    """Others aren't: one of another service, one that answers otherwise, one that says nothing."""
    async with (
        answering(identified()) as port,
        answering(identified("billing")),
        answering("HTTP/1.1 200 OK\r\n\r\n"),
        answering(""),
    ):
        assert await find_served(_NAME) == [("127.0.0.1", port, "http")]


async def test_a_server_of_tls_is_found():
    """Its certificate isn't verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("elsewhere.example").configure_cert(context)
    async with answering(identified(), tls=context) as port:
        assert await find_served(_NAME) == [("127.0.0.1", port, "https")]


async def test_a_server_on_all_interfaces_is_asked_on_loopback():
    async with answering(identified(), address="0.0.0.0") as port:
        assert await find_served(_NAME) == [("0.0.0.0", port, "http")]


async def test_a_port_that_is_given_is_the_only_one_asked():
    """It must answer all the same."""
    async with answering(identified()) as port, answering(identified()), answering("") as silent:
        assert await find_served(_NAME, port) == [("127.0.0.1", port, "http")]
        assert await find_served(_NAME, silent) == []


def test_names_that_no_header_can_have_are_encoded():
    assert identification(None, "", "jméno\r\n") == "jm%C3%A9no%0D%0A"
