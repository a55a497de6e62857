"""What the services below a caller notice of its deadline."""

import time
from contextlib import AsyncExitStack

import pytest
from tests.web.programs import environ, serving

import peerage
from peerage.testing import eventually

pytestmark = [pytest.mark.long, pytest.mark.alone]

#: Calls the service that is named in the environment, or waits for ever; says when it was cancelled.
PROGRAM = """
import asyncio, os, time
from aiohttp import web
from peerage import Discovery
from peerage.web import run_app

async def handle(request):
    try:
        if "TEST_NEXT" not in os.environ:
            await asyncio.Event().wait()
        url = f"http://{os.environ['TEST_NEXT']}.service_id.asab/"
        async with discovery.session() as session, session.get(url) as response:
            return web.Response(body=await response.read())
    except asyncio.CancelledError:
        print(time.monotonic(), flush=True)
        raise

app = web.Application()
app.router.add_get("/", handle)
discovery = Discovery()
run_app(app, discovery, host="127.0.0.1", port=0, lame_duck=0)
"""


#: The same with httpx.
HTTPX_PROGRAM = PROGRAM.replace(
    """async with discovery.session() as session, session.get(url) as response:
            return web.Response(body=await response.read())""",
    """async with httpx.AsyncClient(transport=AsyncTransport(discovery), timeout=None) as client:
            return web.Response(body=(await client.get(url)).content)""",
).replace(
    "import asyncio, os, time",
    "import asyncio, httpx, os, time\nfrom peerage.integrations.httpx import AsyncTransport",
)


@pytest.mark.parametrize("program", [PROGRAM, HTTPX_PROGRAM], ids=["aiohttp", "httpx"])
async def test_all_handlers_are_cancelled_of_a_chain_whose_last_service_hangs(tmp_path, program):
    """In three processes, which compare no clocks."""
    names = ("a", "b", "c")
    async with AsyncExitStack() as stack:
        services = []
        for name, following in zip(names, (*names[1:], None), strict=True):
            more = {"SERVICE_ID": name} | ({"TEST_NEXT": following} if following else {})
            services.append(await stack.enter_async_context(serving(program, tmp_path, f"{name}-1", **more)))
        url = environ(tmp_path, "")["PEERAGE_REGISTRY"]
        discovery = await stack.enter_async_context(peerage.Discovery(url))
        session = await stack.enter_async_context(discovery.session())
        await eventually(lambda: len(discovery.directory) == len(names))
        begin = time.monotonic()
        with pytest.raises(peerage.DeadlineExceededError):
            async with peerage.deadline(1), session.get("http://a.service_id.asab/"):
                pass
        cancelled = [float(await each.line()) - begin for each in services]
    # At most 1.2 seconds on a machine that isn't busy. A handler that isn't cancelled prints nothing.
    assert all(seconds >= 0.9 for seconds in cancelled), cancelled
