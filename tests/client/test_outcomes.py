import socket

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey

from peerage.balancing import Outcome
from peerage.client import UnreachableError, UnreachableTimeoutError
from peerage.client.errors import unreachable
from peerage.client.outcomes import is_refusal, outcome_of, problem_of

KEY = ConnectionKey("here", 80, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "no")), Outcome.CONNECT_FAILED),
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")), Outcome.CONNECT_FAILED),
        (aiohttp.ClientConnectorError(KEY, OSError(113, "no route")), Outcome.CONNECT_FAILED),
        (aiohttp.ClientConnectorError(KEY, OSError(24, "too many files")), Outcome.OUT_OF_RESOURCES),
        (aiohttp.ConnectionTimeoutError(), Outcome.CONNECT_FAILED),
        (aiohttp.SocketTimeoutError(), Outcome.TIMED_OUT),
        (aiohttp.ServerDisconnectedError(), Outcome.CONNECTION_LOST),
        (aiohttp.ClientOSError(104, "reset"), Outcome.CONNECTION_LOST),
        (aiohttp.ClientConnectionResetError(), Outcome.CONNECTION_LOST),
        (aiohttp.ServerFingerprintMismatch(b"a", b"b", "here", 80), Outcome.NOT_RETRYABLE),
        (aiohttp.ClientPayloadError(), Outcome.NOT_RETRYABLE),
        (aiohttp.ClientResponseError(None, ()), Outcome.UNAVAILABLE),
        (aiohttp.ClientConnectionError("Connector is closed."), Outcome.NOT_RETRYABLE),
        (TimeoutError(), Outcome.TIMED_OUT),
        (ValueError(), Outcome.NOT_RETRYABLE),
        (KeyboardInterrupt(), Outcome.CANCELLED),
    ],
)
def test_what_an_exception_means(error, outcome):
    assert outcome_of(error) is outcome


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")), True),
        (aiohttp.ClientConnectorError(KEY, OSError(113, "no route")), False),
        (aiohttp.ConnectionTimeoutError(), False),
        (aiohttp.ClientOSError(104, "reset"), False),
    ],
)
def test_only_a_refused_connection_proves_that_nothing_listens(error, refused):
    assert is_refusal(error) is refused


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (
            aiohttp.ClientConnectorError(KEY, OSError(111, "Connect call failed")),
            "Connection refused",
        ),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), "Connection reset by peer"),
        (aiohttp.ClientConnectorError(KEY, OSError("Multiple exceptions: …")), "Multiple exceptions"),
        (aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "unknown name")), "unknown name"),
        (aiohttp.ClientResponseError(None, (), message="220 mail.example.org"), "its answer isn't HTTP"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_problem_is_said_without_the_address_where_the_system_names_it(error, problem):
    assert problem in problem_of(error)
    assert "Errno" not in problem_of(error)


async def test_an_answer_that_exceeds_the_limits_of_the_caller_says_nothing_about_the_instance(fleet):
    async def answer(_request):
        return web.Response(headers={"Long": "x" * 100})

    served = [await fleet.serve(answer) for _ in range(2)]
    async with fleet.session() as session:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await session.get("http://orders.service_id.asab/", max_field_size=50)
    assert outcome_of(caught.value) is Outcome.NOT_RETRYABLE
    assert sum(each.hits for each in served) == 1


@pytest.mark.parametrize(
    ("cause", "kind", "number"),
    [
        (ConnectionRefusedError(111, "refused"), UnreachableError, 111),
        (aiohttp.ServerDisconnectedError(), UnreachableError, 113),
        (None, UnreachableError, 113),
        (aiohttp.ConnectionTimeoutError(), UnreachableTimeoutError, 113),
    ],
)
def test_unreachable_is_what_code_for_aiohttp_expects(cause, kind, number):
    error = unreachable("No instance could be reached.", KEY, cause)
    assert type(error) is kind
    assert isinstance(error, aiohttp.ClientConnectorError)
    assert isinstance(error, OSError)
    assert isinstance(error, TimeoutError) is (kind is UnreachableTimeoutError)
    assert str(error) == "No instance could be reached."
    assert (error.errno, error.host, error.port, error.ssl) == (number, "here", 80, True)
    assert isinstance(error.os_error, OSError)
