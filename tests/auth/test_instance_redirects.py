"""Redirects and instance tokens: a token goes to the service that it is for, and to no other."""

import pytest
from aiohttp import web
from tests.auth.instances import ORDERS, READ, contents

from peerage.auth import SUPERUSER

# Redirects


class Redirecting:
    """Services that redirect to each other, and keep the requests that they get."""

    def __init__(self, services):
        self.services = services
        self.requests = {}

    async def start(self, name, location=None, *, status=307, tls=None):
        """Start a service; *location* is where it redirects to, None: it answers."""
        seen = self.requests[name] = []

        async def answer(request):
            seen.append((request.headers.get("Authorization"), await request.text()))
            if location is None or request.query.get("again"):
                return web.Response()
            return web.Response(status=status, headers={"Location": location})

        def build(_):
            made = web.Application()
            made.router.add_route("*", "/{tail:.*}", answer)
            return made

        return await self.services.start(name, build, tls=tls)

    def tokens(self, name):
        """The claims of the tokens that the service got, None for a request without one."""
        return [
            None if header is None else contents(header.removeprefix("Bearer "))
            for header, _ in self.requests[name]
        ]


@pytest.fixture
def redirecting(services):
    return Redirecting(services)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_to_another_name_goes_without_a_token(redirecting, services, status, caplog):
    """A service that is called can't have its caller pay a bill elsewhere."""
    await redirecting.start("orders", "http://billing.service_id.asab/admin/pay", status=status)
    await redirecting.start("billing")
    gateway = await services.start("gateway")
    await services.see(gateway, "orders", "billing")
    async with (
        gateway.session(auth="internal", resources={"*": [SUPERUSER]}) as session,
        session.post(f"{ORDERS}/", data=b"pay") as response,
    ):
        assert response.status == 200
    (first,) = redirecting.tokens("orders")
    assert first["aud"] == ORDERS
    assert redirecting.tokens("billing") == [None]
    assert "another service has redirected" in caplog.text


async def test_a_redirect_within_the_name_has_a_token(redirecting, services):
    await redirecting.start("orders", "http://orders.service-id.asab/moved?again=1")
    gateway = await services.start("gateway")
    await services.see(gateway, "orders")
    async with gateway.session(auth="internal", resources=READ) as session, session.get(f"{ORDERS}/"):
        pass
    assert None not in redirecting.tokens("orders")
    assert len(redirecting.tokens("orders")) == 2


async def test_a_redirect_that_the_caller_follows_itself_has_a_token(redirecting, services):
    await redirecting.start("orders", "http://billing.service_id.asab/")
    await redirecting.start("billing")
    gateway = await services.start("gateway")
    await services.see(gateway, "orders", "billing")
    async with gateway.session(auth="internal", resources=READ) as session:
        async with session.get(f"{ORDERS}/", allow_redirects=False) as response:
            location = response.headers["Location"]
        async with session.get(location):
            pass
    (claims,) = redirecting.tokens("billing")
    assert claims["aud"] == "http://billing.service_id.asab"
