"""``peerage serve``: the page, the API and Prometheus' targets, until Ctrl-C."""

import asyncio
import ipaddress
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from peerage.cli.run import CommandError, Exit, report, show_outages
from peerage.discovery import Discovery
from peerage.records.addresses import authority
from peerage.serve import View, create_app

if TYPE_CHECKING:
    from peerage.auth.verifier import Verifier

#: Seconds that requests have to end after a signal.
_SHUTDOWN = 1.0


async def serve(
    registry: str | None, http: str, host_names: Sequence[str], keys: Sequence[str], *, allow_anyone: bool
) -> int:
    """Serve until cancelled.

    Args:
        registry: URL of the registry. If it is out of reach, that is what the page shows.
        http: ``address:port`` to listen on.
        host_names: names of this server besides localhost, loopback addresses and the address.
        keys: URLs or files of the keys that verify the callers' tokens; none: no token is needed.
        allow_anyone: whether no token is needed on an address other than loopback, either.
    """
    address = read_address(http)
    names = [read_name(name) for name in host_names]
    if not (address.loopback or keys or allow_anyone):
        raise CommandError(
            f"{address.host} can be reached from other machines, and every caller could read all records: "
            "name the keys that verify tokens with --keys URL, or write --allow-anyone if the network is "
            "trusted.",
            Exit.USAGE,
        )
    check_keys(keys)
    show_outages()
    async with Discovery(registry) as discovery:
        verifier = _verifier(discovery, keys)
        async with serving(discovery, address, names, verifier) as url:
            sys.stdout.write(f"{url} shows {discovery.registry.url}   Ctrl-C ends\n")
            sys.stdout.flush()
            if not address.loopback:
                _report_readers(address, names, keys)
            await asyncio.Event().wait()
    return Exit.OK


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The address; None if it is a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "localhost" if self.ip is None else self.ip.is_loopback

    @property
    def wildcard(self) -> bool:
        """Whether it stands for all addresses of this machine."""
        return self.ip is not None and self.ip.is_unspecified


def read_address(text: str) -> Address:
    """Return the address that ``address:port`` spells; CommandError if it spells none."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    # An IPv6 address without brackets is refused: its last part would be taken for the port.
    if host and port.isascii() and port.isdecimal() and int(port) < 1 << 16 and bracketed == (":" in host):
        return Address(host[1:-1].lower() if bracketed else host.lower(), int(port))
    raise CommandError(
        f"{text!r} isn't an address: write address:port, for example 127.0.0.1:8600 or [::1]:8600.",
        Exit.USAGE,
    )


def read_name(text: str) -> str:
    """Return a name or address of this server, without the brackets of IPv6; CommandError if it is none."""
    name = text.removeprefix("[").removesuffix("]")
    with suppress(ValueError):
        return str(ipaddress.ip_address(name))
    if not re.fullmatch(r"[^\s:/?#@\[\]]+", name):
        raise CommandError(
            f"{text!r} isn't the name of a server: write it without scheme and port, for example "
            "--host-name monitor.example.",
            Exit.USAGE,
        )
    return name.removesuffix(".").lower()


def check_keys(keys: Sequence[str]) -> None:
    """Raise CommandError if one of *keys* is a file that doesn't exist, before the first token needs it."""
    for key in keys:
        if "://" not in key and not Path(key).exists():
            raise CommandError(
                f"There is no file {key!r}: --keys takes the URL of a JWKS, or a file with one.", Exit.USAGE
            )


@asynccontextmanager
async def serving(
    discovery: Discovery, address: Address, host_names: Sequence[str] = (), verifier: "Verifier | None" = None
) -> AsyncIterator[str]:
    """Serve page and API of *discovery*, and yield the URL of the page.

    Raises:
        CommandError: it can't listen there.
    """
    names = [*host_names, *([] if address.wildcard else [address.host])]
    view = View(discovery.membership)
    runner = web.AppRunner(
        create_app(view, host_names=names, verifier=verifier),
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN,
        access_log=None,
    )
    await runner.setup()
    try:
        # It is closed before the server: the streams of changes end then, and the server waits for them.
        async with view:
            try:
                await web.TCPSite(runner, address.host, address.port).start()
            except OSError as error:
                # asyncio writes a sentence of its own into strerror, about the address that is named here.
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
                raise CommandError(
                    f"Can't listen on {address.host}, port {address.port}: {reason}. Name another address "
                    "with --http, for example --http 127.0.0.1:0 for a free port."
                ) from error
            host = (host_names or ["localhost"])[0] if address.wildcard else address.host
            yield f"http://{authority(host, runner.addresses[0][1])}/"
    finally:
        await runner.cleanup()


def _verifier(discovery: Discovery, keys: Sequence[str]) -> "Verifier | None":
    if not keys:
        return None
    # Internal tokens aren't accepted: their key would be written into the registry if it has none yet.
    return discovery.auth.verifier(
        [each for each in keys if "://" in each],
        [each for each in keys if "://" not in each],
        internal=False,
    )


def _report_readers(address: Address, host_names: Sequence[str], keys: Sequence[str]) -> None:
    if keys:
        report(f"Other machines can reach {address.host}: callers need a token that allows peerage:read.")
    else:
        report(f"Other machines can reach {address.host}, and every caller can read all records.")
    if address.wildcard and not host_names:
        report("Only requests to localhost are answered: name this server with --host-name NAME.")
