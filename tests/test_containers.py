"""The programs of examples/containers, and what Dockerfile and compose.yaml say of them."""

import os
import re
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import yaml
from tests.docs import manifests

from peerage import Discovery
from peerage.testing import eventually
from peerage.testing.children import run

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples/containers"
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))


async def test_one_service_calls_the_other(tmp_path):
    """They are well by the check of the Dockerfile, and SIGTERM ends them with code 0."""
    environ = {**os.environ, "PEERAGE_DIR": str(tmp_path), "PORT": "0"}
    async with AsyncExitStack() as stack:
        services = [
            await stack.enter_async_context(
                run(sys.executable, f"{name}.py", environ={**environ, "SERVICE_ID": name}, cwd=FOLDER)
            )
            for name in ("orders", "shop")
        ]
        discovery = await stack.enter_async_context(Discovery(f"embedded://{tmp_path}"))
        session = await stack.enter_async_context(discovery.session())
        for name in ("orders", "shop"):
            await eventually(lambda name=name: discovery.locate(service_id=name), name)
        async with session.get("http://shop.service_id.asab/v1/cart") as response:
            assert await response.json() == {"cart": ["tea", "biscuits"]}
        (path,) = re.findall(r"urlopen\('http://127\.0\.0\.1:8080(.*?)'", DOCKERFILE)
        async with session.get(f"http://orders.service_id.asab{path}") as response:
            assert response.status == 200
        for service in services:
            service.signal(signal.SIGTERM)
            assert await service.wait() == 0, service.log


def test_the_dockerfile_copies_what_is_there():
    """Into both stages; the file beside it lets these through, and no others."""
    lines = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    copied = [name for line in lines for name in line.split()]
    let_through = re.findall(
        r"^!(.*)$", (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.MULTILINE
    )
    for name in copied:
        assert (ROOT / name).exists(), name
        assert any(name == each or name.startswith(f"{each}/") for each in let_through), name


def test_the_compose_file_is_sound():
    """Each service connects to the servers that are defined."""
    assert manifests.problems(COMPOSE) == []
    services = COMPOSE["services"]
    for service in services.values():
        url = service["environment"].get("PEERAGE_REGISTRY")
        if url:
            assert {name.partition(":")[0] for name in url.split("/")[2].split(",")} <= {*services}
