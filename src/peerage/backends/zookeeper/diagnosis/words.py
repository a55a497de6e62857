"""Asks a server what it says of itself, by its four-letter words.

Which words a server answers is configured by ``4lw.commands.whitelist``; by default it is ``srvr`` alone.
Source: ZooKeeper Administrator's Guide, "The Four Letter Words".
"""

import asyncio
import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from ipaddress import ip_address
from typing import Final

from peerage.diagnosis import LookUp

#: What is asked of a server that answers ``srvr``.
_MORE: Final = ("ruok", "mntr", "conf", "cons", "envi")

#: Seconds for a connection with its handshake, and an answer over it.
_SECONDS: Final = 1.5

#: Seconds for finding out whether the port speaks TLS instead, or doesn't. Of a server that hasn't answered
#: yet, this is found out in the last of its seconds, so that the diagnosis doesn't take longer for it.
_OTHER_SECONDS: Final = 0.7

#: Bytes of an answer that are read: ``cons`` has a line for each of thousands of clients.
_LONGEST: Final = 4 << 20

#: Parts of the three answers to ``srvr``: the server serves, doesn't serve, or may not say.
_SERVES: Final = "Zookeeper version"
_SERVES_NOT: Final = "not currently serving requests"
_MAY_NOT: Final = "is not executed because it is not in the whitelist"


class Stage(Enum):
    """How far the examination of a server got."""

    LOOKED_UP = auto()
    """Its name has no address."""
    CONNECTED = auto()
    """It accepts no connection."""
    SHOOK_HANDS = auto()
    """It accepts a connection, and no TLS that can be verified."""
    SILENT = auto()
    """It accepts connections, and doesn't answer in time."""
    STRANGE = auto()
    """It doesn't answer as ZooKeeper does."""
    LOOKING = auto()
    """It is ZooKeeper, and doesn't serve: it has no quorum, or is starting."""
    HUSHED = auto()
    """It is ZooKeeper, and may not say how it is."""
    SERVES = auto()


#: The stages of a server that may speak TLS although the URL says otherwise, or the other way round.
_UNEXPECTED: Final = {Stage.SHOOK_HANDS, Stage.SILENT, Stage.STRANGE}


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of asking one server."""

    server: str
    """``host:port``, as in the registry's URL."""
    stage: Stage
    reason: str = ""
    """The error, where there is one."""
    other: bool = False
    """Whether it speaks TLS although the URL says otherwise, or the other way round."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Its answers to the words that it may answer."""


async def ask_server(server: str, look_up: LookUp, context: ssl.SSLContext | None) -> Asked:
    """Ask one server everything, at the first of its addresses that accepts a connection.

    Args:
        server: ``host:port``.
        look_up: returns the addresses of a host.
        context: for TLS; None for a connection without.
    """
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    try:
        addresses = [host] if _is_address(host) else await look_up(host)
    except OSError as error:
        return Asked(server, Stage.LOOKED_UP, str(error))
    asked = Asked(server, Stage.LOOKED_UP, "it has no address")
    for address in addresses:
        asked = await _ask_address(server, _Place(address, int(port), host, context))
        if asked.stage is not Stage.CONNECTED:
            break
    return asked


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a server is asked, and how."""

    address: str
    port: int
    host: str
    context: ssl.SSLContext | None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection, after its handshake.

        Raises:
            ConnectionRefusedError: or another OSError; ssl.SSLError for TLS.
        """
        hostname = None if self.context is None else self.host
        return await asyncio.open_connection(
            self.address, self.port, ssl=self.context, server_hostname=hostname, limit=_LONGEST
        )

    async def ask(self, word: str) -> str:
        """Return the answer to *word*.

        Raises:
            ConnectionRefusedError: or another OSError; ssl.SSLError for TLS.
            TimeoutError: no connection in time.
            _SilentError: a connection, and no answer in time.
        """
        deadline = asyncio.get_running_loop().time() + _SECONDS
        async with asyncio.timeout_at(deadline):
            reader, writer = await self.connect()
        answer = b""
        try:
            async with asyncio.timeout_at(deadline):
                writer.write(word.encode())
                while len(answer) < _LONGEST and (part := await reader.read(1 << 16)):
                    answer += part
        except TimeoutError as error:
            raise _SilentError from error
        finally:
            # Without waiting for the end: the answer is all that is needed.
            writer.transport.abort()
        return answer.decode(errors="replace")


class _SilentError(Exception):
    """A connection was made, and no answer came in time."""


async def _ask_address(server: str, place: _Place) -> Asked:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(_ask_srvr(server, place))
        await asyncio.wait([first], timeout=_SECONDS - _OTHER_SECONDS)
        other = (not first.done() or first.result().stage in _UNEXPECTED) and await _speaks_other(place)
    asked = first.result()
    if asked.stage is Stage.SERVES:
        answers = await asyncio.gather(*(_ask_more(place, word) for word in _MORE))
        more = {word: answer for word, answer in zip(_MORE, answers, strict=True) if answer}
        return replace(asked, words={**asked.words, **more})
    return replace(asked, other=other) if asked.stage in _UNEXPECTED else asked


async def _ask_srvr(server: str, place: _Place) -> Asked:
    try:
        answer = await place.ask("srvr")
    except (_SilentError, OSError) as error:
        return Asked(server, _stage_of(error, secure=place.context is not None), _reason(error))
    if answer.startswith(_SERVES):
        return Asked(server, Stage.SERVES, words={"srvr": answer})
    if _SERVES_NOT in answer:
        return Asked(server, Stage.LOOKING)
    return Asked(server, Stage.HUSHED if _MAY_NOT in answer else Stage.STRANGE)


def _stage_of(error: Exception, *, secure: bool) -> Stage:
    match error:
        case _SilentError():
            return Stage.SILENT
        case ssl.SSLError():
            return Stage.SHOOK_HANDS
        case ConnectionResetError():
            return Stage.SHOOK_HANDS if secure else Stage.STRANGE
        case _:
            return Stage.CONNECTED


async def _ask_more(place: _Place, word: str) -> str:
    try:
        answer = await place.ask(word)
    except (_SilentError, OSError):
        return ""
    return "" if _MAY_NOT in answer or _SERVES_NOT in answer else answer


async def _speaks_other(place: _Place) -> bool:
    """Tell whether the port speaks TLS although the URL says otherwise, or the other way round."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_OTHER_SECONDS):
            return await _answers_otherwise(place)
    return False


async def _answers_otherwise(place: _Place) -> bool:
    if place.context is not None:
        try:
            answer = await replace(place, context=None).ask("srvr")
        except (_SilentError, OSError):
            return False
        return any(words in answer for words in (_SERVES, _SERVES_NOT, _MAY_NOT))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is sent over it.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        _, writer = await replace(place, context=context).connect()
    except ssl.SSLError as error:
        # It wants a certificate, in TLS.
        return "ALERT" in str(error).upper()
    except OSError:
        return False
    writer.transport.abort()
    return True


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _reason(error: Exception) -> str:
    match error:
        case _SilentError():
            return ""
        case TimeoutError():
            return f"no answer within {_SECONDS:g} s"
        case ssl.SSLError():
            return str(error)
        case _:
            # asyncio's own text has the address only.
            number = getattr(error, "errno", None)
            return os.strerror(number) if number else str(error) or type(error).__name__
