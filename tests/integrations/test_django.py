"""An asynchronous view of Django under uvicorn: found, called, and calling, by names with an underscore."""

import signal
import sys

import pytest
from tests.web.programs import RUN_APP, environ, serving

from peerage import Discovery
from peerage.testing import eventually
from peerage.testing.children import run
from peerage.testing.zookeeper.server import free_port

_DJANGO = """
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import JsonResponse
from django.urls import path
from peerage import Discovery
from peerage.integrations.asgi import discovered

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=[".asab"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
discovery = Discovery(service_id="shop")

async def shop(request):
    url = "http://worker.service_id.asab/upload"
    async with discovery.session() as session, session.post(url, data=request.body) as response:
        return JsonResponse({"uploaded": await response.text(), "host": request.get_host()})

urlpatterns = [path("shop", shop)]
app = discovered(get_asgi_application(), discovery, lame_duck=0.1)
"""


@pytest.mark.long
async def test_an_asynchronous_view_calls_by_name(tmp_path):
    """Django has no lifespan, and refuses hosts with an underscore: it sees the other spelling."""
    (tmp_path / "service.py").write_text(_DJANGO)
    command = sys.executable, "-m", "uvicorn", "service:app", "--port", str(free_port())
    variables = environ(tmp_path, "shop-0", SERVICE_ID="shop")
    async with (
        serving(RUN_APP, tmp_path) as worker,
        run(*command, environ=variables, cwd=tmp_path) as server,
        Discovery(variables["PEERAGE_REGISTRY"]) as discovery,
        discovery.session() as session,
    ):
        await eventually(lambda: len(discovery.directory.find()) == 2, "both services")
        async with session.post("http://shop.service_id.asab/shop", data=b"x") as response:
            assert response.status == 200, await response.text()
            assert await response.json() == {"uploaded": "x", "host": "shop.service-id.asab"}
        server.terminate()
        # uvicorn ends itself by the signal that it got.
        assert (await server.end())[0] == -signal.SIGTERM, server.log
        worker.terminate()
        assert (await worker.end())[0] == 0, worker.log
