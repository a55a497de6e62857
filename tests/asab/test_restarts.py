"""Restarts of ASAB's services under load, without a failed call."""

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.asab.api.programs import SERVER
from tests.asab.both import OURS
from tests.asab.inside.programs import WORKER, guest
from tests.asab.inside.programs import named as named_inside
from tests.asab.running import named, running
from tests.asab.zookeeper.programs import on
from tests.restarts import PYTHON, restarted

URL = "http://worker.service_id.asab/work?takes=0.01"


@pytest.mark.long
async def test_no_call_of_our_layer_fails(zookeeper):
    environ = on(zookeeper)
    kind = replace(OURS, command=PYTHON)

    def start(instance, port):
        return running(SERVER, kind=kind, environ=named(environ, instance, TEST_PORT=str(port)))

    load = await restarted(f"zookeeper://{zookeeper.address}{environ['TEST_PATH']}-ours", URL, start)
    assert load.failed == []


@pytest.mark.long
async def test_no_call_inside_the_framework_fails(inside, zookeeper):
    environ = on(zookeeper)

    @asynccontextmanager
    async def start(instance, port):
        async with guest(inside, named_inside(environ, instance, TEST_PORT=str(port)), WORKER) as one:
            yield one.running

    load = await restarted(f"zookeeper://{zookeeper.address}{environ['TEST_PATH']}", URL, start)
    assert load.failed == []
