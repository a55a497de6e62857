"""Views of Flask and Django call another service by name, whatever the workers of gunicorn are."""

import asyncio
import signal

import aiohttp
import pytest
from tests.integrations.wsgi.programs import gunicorn
from tests.web.programs import RUN_APP, environ, serving

from peerage import Discovery
from peerage.testing import eventually

_FLASK = """
import os
from flask import Flask, request
from peerage.integrations.wsgi import discovered
from peerage.sync import Discovery

# Before gunicorn forks, if it preloads the application.
discovery = Discovery(service_id="shop")
client = discovery.client()
app = Flask(__name__)

@app.post("/shop")
def shop():
    answer = client.post("http://worker.service_id.asab/upload", content=request.get_data())
    return {"uploaded": answer.text, "pid": os.getpid()}

@app.get("/shop")
def slow():
    return client.get("http://worker.service_id.asab/work?takes=60").text

app.wsgi_app = discovered(app.wsgi_app, discovery)
"""

_DJANGO = """
import os
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse
from django.urls import path
from peerage.integrations.wsgi import discovered
from peerage.sync import Discovery

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=[".asab"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
discovery = Discovery(service_id="shop")
client = discovery.client()

def shop(request):
    if request.method == "GET":
        return HttpResponse(client.get("http://worker.service_id.asab/work?takes=60").text)
    answer = client.post("http://worker.service_id.asab/upload", content=request.body)
    return JsonResponse({"uploaded": answer.text, "pid": os.getpid(), "host": request.get_host()})

urlpatterns = [path("shop", shop)]
app = discovered(get_wsgi_application(), discovery)
"""

_SHOP = "http://shop.service_id.asab/shop"

#: The framework, and the options of gunicorn.
CASES = {
    "flask-gthread": (_FLASK, "--worker-class", "gthread", "--threads", "4"),
    "flask-preload": (
        _FLASK,
        "--workers",
        "2",
        "--preload",
        "--config",
        "python:peerage.integrations.gunicorn",
    ),
    "django-sync": (_DJANGO, "--workers", "2"),
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case == "flask-preload" else pytest.mark.long) for case in CASES]
)
async def test_a_view_calls_by_name(tmp_path, case):
    """POSTs at the same time; and the deadline of the caller holds for what the view calls."""
    program, *options = CASES[case]
    async with (
        serving(RUN_APP, tmp_path) as worker,
        gunicorn(program, tmp_path, "shop-0", *options, SERVICE_ID="shop") as server,
        Discovery(environ(tmp_path, "")["PEERAGE_REGISTRY"]) as discovery,
        discovery.session() as session,
    ):
        await eventually(lambda: len(discovery.directory.find()) == 2, "both services")

        async def post(number):
            async with session.post(_SHOP, data=f"{number}") as response:
                assert response.status == 200, await response.text()
                return await response.json()

        answers = await asyncio.gather(*map(post, range(20)))
        assert [answer["uploaded"] for answer in answers] == [str(number) for number in range(20)]
        if program == _DJANGO:
            assert {answer["host"] for answer in answers} == {"shop.service-id.asab"}
        # The deadline is long enough for the request to arrive, and the view would take a minute.
        async with session.get(_SHOP, headers={"Peerage-Timeout-Ms": "500"}) as response:
            assert (response.status, response.headers["Peerage-Timeout-Ms"]) == (504, "0")
        server.signal(signal.SIGTERM)
        assert (await server.end())[0] == 0, server.log
        worker.signal(signal.SIGTERM)
        assert (await worker.end())[0] == 0, worker.log


@pytest.mark.long
async def test_a_request_for_another_service_is_refused(tmp_path):
    """As by other servers of peerage: the caller learns that it wasn't processed."""
    async with (
        gunicorn(_FLASK, tmp_path, "shop-0", SERVICE_ID="shop"),
        Discovery(environ(tmp_path, "")["PEERAGE_REGISTRY"]) as discovery,
        aiohttp.ClientSession() as session,
    ):
        (instance,) = await eventually(discovery.directory.find, "the service")
        dialled = f"Orders.0000000042 127.0.0.1:{instance.endpoints[0].port}"
        for host, status in (("orders.service_id.asab", 421), ("shop.service_id.asab", 404)):
            headers = {"Host": host, "Peerage-Dialled": dialled}
            async with session.post(f"{instance.urls[0]}/elsewhere", headers=headers) as response:
                assert response.status == status
                assert response.headers.get("Peerage-Misdirected") == (dialled if status == 421 else None)
