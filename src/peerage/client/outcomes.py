"""The outcome of an attempt, from an exception or a response of aiohttp."""

import errno
import os
import traceback
from typing import Final

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from peerage.balancing import Outcome
from peerage.balancing.outcome import ANSWERED
from peerage.client.errors import MisdirectedError
from peerage.errors import DeadlineExceededError

#: The next connection would fail for the same reason: this process or this machine is short of something.
SHORTAGE: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
)

_TLS_DISTRUST: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)
_LOST: Final = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError)

# Where aiohttp's connector waits until one of its connections is free.
_QUEUE: Final = "_wait_for_available_connection"

# Where it makes a connection.
_CONNECT: Final = "_create_connection"


def outcome_of(error: BaseException) -> Outcome:
    """Return the outcome of an attempt that raised *error*."""
    if isinstance(error, aiohttp.ClientConnectionError):
        return _outcome_of_connection(error)
    if isinstance(error, MisdirectedError):
        return Outcome.MISDIRECTED
    if isinstance(error, aiohttp.ClientResponseError):
        # The answer isn't HTTP, so another program may have taken the port; or a line of it is longer than
        # the caller allows.
        cause = error.__cause__ and error.__cause__.__cause__
        return Outcome.NOT_RETRYABLE if isinstance(cause, LineTooLong) else Outcome.UNAVAILABLE
    if isinstance(error, TimeoutError):
        # The caller's limit for the whole request passed before a response arrived.
        return Outcome.TIMED_OUT
    return Outcome.NOT_RETRYABLE if isinstance(error, Exception) else Outcome.CANCELLED


def _outcome_of_connection(error: aiohttp.ClientConnectionError) -> Outcome:
    if isinstance(error, _TLS_DISTRUST):
        # The peer can't prove that it is the service. An operator must look into that.
        return Outcome.NOT_RETRYABLE
    if isinstance(error, aiohttp.ClientConnectorError):
        short = error.os_error.errno in SHORTAGE
        return Outcome.OUT_OF_RESOURCES if short else Outcome.CONNECT_FAILED
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Outcome.NOT_RETRYABLE if waited_for_a_slot(error) else Outcome.CONNECT_FAILED
    if isinstance(error, aiohttp.SocketTimeoutError):
        return Outcome.TIMED_OUT
    return Outcome.CONNECTION_LOST if isinstance(error, _LOST) else Outcome.NOT_RETRYABLE


def is_refusal(error: BaseException) -> bool:
    """Tell whether the address of the instance refused the connection: nothing listens there."""
    return isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno == errno.ECONNREFUSED


def problem_of(error: BaseException) -> str:
    """Return what happened, for messages and traces that name the address themselves."""
    if outcome_of(error) is Outcome.UNAVAILABLE:
        # The text of the error contains the URL, and what was answered.
        return "its answer isn't HTTP"
    cause = error
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        cause = error.os_error
    if isinstance(cause, OSError) and not isinstance(cause, aiohttp.ClientSSLError):
        # asyncio's text repeats the address. Look-ups have negative numbers, several addresses together none.
        number = cause.errno or 0
        text = os.strerror(number) if number > 0 else cause.strerror
        if text:
            return text
    return str(cause) or type(cause).__name__


def outcome_of_body(response: aiohttp.ClientResponse) -> Outcome:
    """Return the outcome of an attempt whose response has released its connection."""
    error = response.content.exception()
    if error is None:
        return ANSWERED
    if isinstance(error, aiohttp.ClientPayloadError):
        return Outcome.CONNECTION_LOST
    # A caller that closes a response early leaves an error as well; so does one whose deadline has passed.
    timed_out = isinstance(error, TimeoutError) and not isinstance(error, DeadlineExceededError)
    return Outcome.TIMED_OUT if timed_out else ANSWERED


def is_connecting(error: BaseException) -> bool:
    """Tell whether *error*, a cancellation, ended an attempt that was still making its connection."""
    return any(frame.f_code.co_name == _CONNECT for frame, _ in traceback.walk_tb(error.__traceback__))


def waited_for_a_slot(error: BaseException) -> bool:
    """Tell whether *error* is about the connector's limit, so that no instance was asked.

    aiohttp raises the same for it and for a peer that doesn't answer in time, and distinguishes them only in
    traces, which cost each request. The traceback shows where the time was spent. If aiohttp renames that
    function one day, such an error counts as a failed connection.
    """
    seen: BaseException | None = error
    while seen is not None:
        if any(frame.f_code.co_name == _QUEUE for frame, _ in traceback.walk_tb(seen.__traceback__)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
