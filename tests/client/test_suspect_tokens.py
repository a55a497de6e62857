"""Which tokens are sent to an instance whose record vanished."""

import itertools
import ssl
from contextlib import AsyncExitStack

import pytest
import trustme
from aiohttp import web

from peerage import Discovery, open_registry
from peerage.testing import eventually
from peerage.web.running import bound_web

_numbers = itertools.count()


class Setting:
    """A service that keeps the authorization it gets, and a caller."""

    def __init__(self, stack, tls=None):
        self._stack = stack
        self._tls = tls
        self.authorizations = []

    async def start(self):
        """Start both."""
        app = web.Application()
        app.router.add_get("/", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        url = f"memory:suspect-tokens-{next(_numbers)}"
        self.registry = open_registry(url)
        self._stack.push_async_callback(self.registry.aclose)
        service = await self._stack.enter_async_context(Discovery(self.registry, service_id="orders"))
        await service.advertise(web=bound_web(runner))
        self.caller = await self._stack.enter_async_context(Discovery(url, service_id="shop"))
        await eventually(self.caller.directory.find)

    async def _answer(self, request):
        self.authorizations.append(request.headers.get("Authorization"))
        return web.Response()

    async def lose_the_record(self):
        """Have the record vanish although the service goes on."""
        self.registry.lose()
        self.registry.expire()
        await eventually(lambda: any(one.suspect for one in self.caller.directory))

    async def get(self, session, url="http://orders.service_id.asab/", *, tls=None, **headers):
        """Call the service, and return the authorization that it got."""
        async with session.get(url, headers=headers, ssl=True if tls is None else tls) as response:
            assert response.status == 200
        return self.authorizations.pop()


@pytest.fixture
async def setting():
    """Both, started."""
    async with AsyncExitStack() as stack:
        setting = Setting(stack)
        await setting.start()
        yield setting


async def test_a_kept_connection_carries_the_token(setting):
    """It leads to the process that had the record."""
    async with setting.caller.session(auth="internal") as session:
        assert (await setting.get(session)).startswith("Bearer ")
        await setting.lose_the_record()
        assert (await setting.get(session)).startswith("Bearer ")


async def test_a_new_connection_carries_none(setting, caplog):
    """Another program may have the port; once the record is back, the token is sent again."""
    async with setting.caller.session(auth="internal") as session:
        await setting.lose_the_record()
        for _ in range(2):
            assert await setting.get(session, Connection="close") is None
        (line,) = [each.getMessage() for each in caplog.records if "No internal token" in each.getMessage()]
        assert "https" in line
        setting.registry.restore()
        await eventually(lambda: not any(one.suspect for one in setting.caller.directory))
        assert (await setting.get(session, Connection="close")).startswith("Bearer ")


async def test_a_new_connection_over_tls_carries_the_token():
    """The certificate shows that it leads to the service."""
    authority, host = trustme.CA(), "orders.service-id.asab"
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with AsyncExitStack() as stack:
        setting = Setting(stack, serving)
        await setting.start()
        await setting.lose_the_record()
        async with setting.caller.session(auth="internal") as session:
            assert (await setting.get(session, f"https://{host}/", tls=trusting)).startswith("Bearer ")


async def test_the_authorization_of_the_caller_is_sent(setting):
    """The caller has chosen it."""
    async with setting.caller.session(auth="internal") as session:
        await setting.lose_the_record()
        assert await setting.get(session, Authorization="Basic abc") == "Basic abc"
