"""What may be repeated after a failed attempt, and with which error a request that is given up ends; pure.

The rule: as long as not a byte of the request went out, or who got it says that it wasn't processed, any
other instance is as good. Otherwise the peer may have acted on it, so only requests that may be processed
twice are repeated (RFC 9110, 9.2.2; the ``Idempotency-Key`` header says so for the other methods), and only a
few times. A body that can't be sent again isn't.
"""

import errno
import traceback
from enum import Enum, auto
from typing import Final

import aiohttp

from peerage.client.errors import MisdirectedError

__all__ = ["IDEMPOTENT", "REPLAYS", "Failure", "classify", "ends_unreachable", "may_repeat"]

#: The methods that aiohttp repeats by itself, too.
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

#: How often a request may be repeated after bytes of it went out.
REPLAYS: Final = 2

# The next connection would fail for the same reason: this process or this machine is short of something.
_OUR_OWN_SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_TLS_DISTRUST: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)
_LOST: Final = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError)


# Where aiohttp's connector waits until one of its connections is free.
_QUEUE: Final = "_wait_for_available_connection"


class Failure(Enum):
    """What an exception out of one attempt means."""

    UNRESOLVED = auto()
    """The host name of the instance has no address."""
    UNSENT = auto()
    """No connection could be made, so nothing of the request went out."""
    LOST = auto()
    """The connection broke; the peer may have got the request."""
    SILENT = auto()
    """No answer in the caller's time limit; the peer may be at it."""
    MISDIRECTED = auto()
    """Somebody else answered, and says that the request wasn't processed."""
    FINAL = auto()
    """Another instance wouldn't help, or mustn't be asked: the caller gets the exception as it is."""


#: Whatever the method, the request may be sent to somebody else.
_UNPROCESSED: Final = frozenset({Failure.UNRESOLVED, Failure.UNSENT, Failure.MISDIRECTED})


def classify(error: BaseException) -> Failure:
    """Return what *error*, out of one attempt at one instance, means."""
    if isinstance(error, aiohttp.ClientConnectionError):
        return _classify_connection(error)
    return Failure.MISDIRECTED if isinstance(error, MisdirectedError) else Failure.FINAL


def _classify_connection(error: aiohttp.ClientConnectionError) -> Failure:
    if isinstance(error, _TLS_DISTRUST):
        # Somebody answers in the name of the service who can't prove to be it. That is for people to look at.
        return Failure.FINAL
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Failure.UNRESOLVED
    if isinstance(error, aiohttp.ClientConnectorError):
        return Failure.FINAL if error.os_error.errno in _OUR_OWN_SHORTAGE else Failure.UNSENT
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Failure.FINAL if _waited_for_a_slot(error) else Failure.UNSENT
    if isinstance(error, aiohttp.SocketTimeoutError):
        return Failure.SILENT
    return Failure.LOST if isinstance(error, _LOST) else Failure.FINAL


def _waited_for_a_slot(error: BaseException) -> bool:
    """Tell whether *error* is about the connector's limit, so that no instance was asked at all.

    aiohttp raises the same for it and for a peer that doesn't answer in time, and tells them apart only in
    traces, which cost each request. Where the time went shows in the traceback; should aiohttp call that
    function otherwise one day, such an error counts as UNSENT.
    """
    seen: BaseException | None = error
    while seen is not None:
        if any(frame.f_code.co_name == _QUEUE for frame, _ in traceback.walk_tb(seen.__traceback__)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def may_repeat(failure: Failure, *, idempotent: bool, body_consumed: bool, replays: int) -> bool:
    """Tell whether the request may be sent again, to another instance.

    Args:
        failure: how the attempt ended.
        idempotent: whether it does no harm if two instances process the request.
        body_consumed: whether the body can't be sent again.
        replays: how often it was repeated already after bytes had gone out.
    """
    if failure is Failure.FINAL or body_consumed:
        return False
    if failure in _UNPROCESSED:
        return True
    return idempotent and replays < REPLAYS


def ends_unreachable(failure: Failure, *, method: str, replays: int) -> bool:
    """Tell whether a request given up ends in UnreachableError; otherwise in aiohttp's own exception.

    What aiohttp would repeat above us must not reach it as what it is; what only this one attempt has seen,
    or is the caller's own time limit, must.
    """
    if failure in _UNPROCESSED:
        return True
    return failure is Failure.LOST and (method in IDEMPOTENT or replays > 0)
