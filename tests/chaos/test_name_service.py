"""What callers notice of a name service that is away: nothing, where addresses are known."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from peerage.testing.children import STRICT, Child, run

pytestmark = [pytest.mark.long, pytest.mark.alone]

#: Where the name server listens, at the port 53.
ADDRESS = "127.53.53.53"

#: Runs a command with other files in place of those by which the system finds the name server.
MOUNTED = 'mount --bind "$1" /etc/resolv.conf; mount --bind "$2" /etc/nsswitch.conf; shift 2; exec "$@"'

#: The size of a DNS message's head, and of what follows the name in its question.
HEAD, TYPE = 12, 4


class NameServer(asyncio.DatagramProtocol):
    """Knows one address of each name: 127.0.0.1."""

    def __init__(self) -> None:
        self.silent = False
        self.closed = asyncio.Event()

    def connection_made(self, transport) -> None:
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self.closed.set()

    def datagram_received(self, data: bytes, address: object) -> None:
        if self.silent:
            return
        question = data[HEAD : data.index(b"\0", HEAD) + 1 + TYPE]
        is_a = question.endswith(b"\0\1\0\1")
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1" if is_a else b""
        self._transport.sendto(
            data[:2] + struct.pack("!HHHHH", 0x8180, 1, is_a, 0, 0) + question + answer, address
        )


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(NameServer, (ADDRESS, 53))
    try:
        yield protocol
    finally:
        transport.close()
        await protocol.closed.wait()


@asynccontextmanager
async def caller(folder: Path) -> AsyncIterator[Child]:
    """Run a caller whose system asks our name server."""
    files = {"resolv.conf": f"nameserver {ADDRESS}\n", "nsswitch.conf": "hosts: dns\n"}
    for name, text in files.items():
        (folder / name).write_text(text)
    mounted = ("unshare", "--mount", "sh", "-euc", MOUNTED, "sh", *(folder / name for name in files))
    async with run(*mounted, *STRICT, Path(__file__).parent / "names.py") as child:
        yield child


@pytest.mark.parametrize(("seconds", "silent"), [(1, False), (10, True)])
async def test_the_name_service_is_away(tmp_path, services, seconds, silent):
    """Its port is closed, or it doesn't answer; where no address is known, no call fails once it is back.

    The system asks a server that doesn't answer again after 5 seconds, and gives up after 10.
    """
    await services.start(1)
    (port,) = services.ports
    async with caller(tmp_path) as child:
        async with AsyncExitStack() as before:
            names = await before.enter_async_context(name_server())
            await child.ask("know", "known", "known.test", port)
            await asyncio.sleep(1)
            names.silent = silent
            if not silent:
                await before.aclose()
            await asyncio.sleep(0.3 * seconds)
            await child.ask("know", "unknown", "unknown.test", port)
            await asyncio.sleep(0.7 * seconds)
        async with name_server():
            back = time.monotonic()
            await asyncio.sleep(3)
            results = await child.ask("results")
        assert (await child.end())[0] == 0, child.log
    failed = {
        name: [end for service, end, error in results if service == name and error]
        for name in ("known", "unknown")
    }
    assert not failed["known"]
    assert all(end < back + 1 for end in failed["unknown"])
    assert any(service == "unknown" and not error for service, _, error in results)
