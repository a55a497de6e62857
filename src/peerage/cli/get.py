"""``peerage get``: call a service by name, as curl calls a host."""

import asyncio
import json
import re
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from peerage.calling.trace import CallTrace, trace_calls
from peerage.cli.explain import explain
from peerage.cli.run import CommandError, Exit, read_registry, report
from peerage.discovery import Discovery
from peerage.errors import PeerageError
from peerage.records.names import is_logical

#: Seconds within which the registry must answer; a call may take longer.
_READY = 5.0

_METHOD = re.compile(r"[A-Za-z]{1,20}")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):\s*(.*)")


def _parse_method(text: str) -> str:
    if not _METHOD.fullmatch(text):
        raise CommandError(f"{text!r} isn't an HTTP method: write -X PUT.", Exit.USAGE)
    return text.upper()


def _parse_url(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError as error:
        raise CommandError(f"{text!r} isn't a URL: {error}", Exit.USAGE) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise CommandError(
            f"{text!r} isn't a URL that can be called: write http://orders.service_id.asab/path", Exit.USAGE
        )
    return url


def _parse_header(text: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(text)
    if match is None or not text.isprintable():
        raise CommandError(f"{text!r} isn't a header: write -H 'Name: value'.", Exit.USAGE)
    return match[1], match[2]


def _read(data: str) -> bytes:
    if not data.startswith("@"):
        # Bytes of the command line that aren't UTF-8 are sent as they are.
        return data.encode(errors="surrogateescape")
    if data == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise CommandError(f"{data[1:]!r} can't be read: {error.strerror}", Exit.USAGE) from None


def _with_type(headers: list[tuple[str, str]], body: bytes | None) -> list[tuple[str, str]]:
    """Add the content type of a JSON body, unless the user gave one."""
    if body is not None and body.lstrip()[:1] in {b"{", b"["}:
        with suppress(ValueError, RecursionError):
            json.loads(body)
            if all(name.lower() != "content-type" for name, _ in headers):
                return [*headers, ("Content-Type", "application/json")]
    return headers


def get_url(
    registry: str | None,
    url: str,
    *,
    method: str | None = None,
    headers: Sequence[str] = (),
    data: str | None = None,
    redirects: bool = False,
    timeout: float,
    show_headers: bool = False,
    explained: bool = False,
) -> Coroutine[Any, Any, int]:
    """Make the coroutine that calls *url* and writes the body of the answer to stdout as it arrives.

    The body that is to be sent is read at once. If it is JSON, so is its content type by default.

    The arguments are the options of the command: *timeout* is in seconds, until the answer begins and between
    two pieces of it; *show_headers* writes status and headers of the answer to stderr; *explained* writes
    there, in the end, which instances were asked, and why.
    """
    method = _parse_method(method or ("GET" if data is None else "POST"))
    target = _parse_url(url)
    parsed = [_parse_header(header) for header in headers]
    body = None if data is None else _read(data)
    request = {"headers": _with_type(parsed, body), "data": body, "allow_redirects": redirects}
    call = _call(registry, method, target, request, timeout, show_headers=show_headers)
    return _explained(call, target) if explained else call


async def _explained(call: Coroutine[Any, Any, int], url: URL) -> int:
    said = ""
    with trace_calls() as traces:
        try:
            return await call
        except PeerageError as error:
            said = str(error)
            raise
        finally:
            sys.stdout.flush()
            _write(traces, url, said)


def _write(traces: Sequence[CallTrace], url: URL, said: str) -> None:
    if not traces and not is_logical(url.host):
        report(f"{url.host} isn't a .asab name, so no instance was chosen.")
    for trace in traces:
        sys.stderr.writelines(f"{line}\n" for line in ("", *explain(trace)))
        if trace.problem and trace.problem != said:
            report(trace.problem)
    sys.stderr.flush()


async def _call(
    registry: str | None, method: str, url: URL, request: dict[str, Any], limit: float, *, show_headers: bool
) -> int:
    limits = aiohttp.ClientTimeout(total=None, sock_connect=limit, sock_read=limit)
    try:
        async with Discovery(registry) as discovery, discovery.session(timeout=limits) as session:
            if is_logical(url.host):
                await read_registry(discovery, min(limit, _READY))
            # aiohttp's limits apply to each attempt, this one to all together.
            async with asyncio.timeout(limit):
                response = await session.request(method, url, **request)
            async with response:
                return await _pass_on(response, show_headers=show_headers)
    except PeerageError:
        raise
    except TimeoutError:
        raise CommandError(
            f"{url.host} didn't answer within {limit:g} s: see 'peerage ls', or give --timeout.",
            Exit.UNREACHABLE,
        ) from None
    except aiohttp.ClientError as error:
        raise CommandError(
            f"Calling {url.host} failed: {str(error) or type(error).__name__}", Exit.UNREACHABLE
        ) from None


async def _pass_on(response: aiohttp.ClientResponse, *, show_headers: bool) -> int:
    status = f"{response.status} {response.reason or ''}".rstrip()
    if show_headers:
        report(status)
        for name, value in response.headers.items():
            report(f"{name}: {value}")
    last = b"\n"
    async for piece in response.content.iter_any():
        sys.stdout.buffer.write(piece)
        sys.stdout.flush()
        last = piece[-1:] or last
    if last != b"\n" and sys.stdout.isatty():
        # So that the shell's prompt begins a new line.
        sys.stdout.write("\n")
    if HTTPStatus.OK <= response.status < HTTPStatus.BAD_REQUEST:
        return Exit.OK
    if not show_headers:
        report(status)
    return Exit.STATUS
