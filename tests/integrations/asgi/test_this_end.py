"""Which connections a request may have come over, by what servers say of this end of them."""

import pytest

from peerage.calling.misdirected import DIALLED
from peerage.integrations.asgi import refuse_misdirected


class Orders:
    def own_ids(self):
        return {("service_id", "orders")}

    def own_records(self):
        return {"Orders.0000000001"}


async def status(server, dialled):
    """Return the status of the answer to a request for another service."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    headers = [(DIALLED.lower().encode(), dialled.encode()), (b"host", b"prices.service_id.asab")]
    scope = {"type": "http", "server": server, "headers": headers}
    await refuse_misdirected(app, Orders())(scope, None, send)
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("server", "address", "expected"),
    [
        pytest.param(("127.0.0.2", 8080), "127.0.0.2:8080", 421, id="uvicorn, hypercorn"),
        pytest.param(("127.0.0.2", 8080), "127.0.0.1:8080", 200, id="another address"),
        pytest.param(("127.0.0.1", "8080"), "127.0.0.1:8080", 421, id="granian, whose port is text"),
        pytest.param(("0.0.0.0", "8080"), "127.0.0.2:8080", 421, id="granian, on every interface"),
        pytest.param(("::", "8080"), "[::1]:8080", 421, id="granian, IPv6"),
        pytest.param(("0.0.0.0", "8080"), "127.0.0.2:8081", 200, id="another port"),
        pytest.param(("0.0.0.0", "8080"), "192.0.2.1:8080", 200, id="another host"),
        pytest.param(("0.0.0.0", "8080"), "localhost:8080", 200, id="no address"),
        pytest.param(("/run/orders", None), "127.0.0.1:8080", 200, id="a Unix socket"),
        pytest.param(None, "127.0.0.1:8080", 200, id="unknown"),
    ],
)
async def test_a_request_is_refused_if_it_was_made_to_this_end_for_another_service(server, address, expected):
    """A server behind a proxy has another end than the one that was dialled."""
    assert await status(server, f"Prices.0000000002 {address}") == expected
