"""Checks the peerage that is installed in this virtual environment.

Usage: python -P tests/installed.py [EXTRA...], with the extras that are installed

scripts/test-packages runs it. It needs nothing but peerage. Two processes find and call each other. What
needs an extra that isn't installed must say how to install it, and what needs an installed one must work.
"""

import asyncio
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import aclosing
from importlib import metadata
from pathlib import Path

import peerage
from peerage import Discovery, Joined, MissingExtraError

#: Seconds within which a service must have started.
_PATIENCE = 60.0

_SERVICE = """
from aiohttp import web
from peerage import Discovery
from peerage.web import run_app

async def orders(request):
    return web.json_response(["tea", "biscuits"])

app = web.Application()
app.router.add_get("/v1/orders", orders)
run_app(app, Discovery(service_id="orders", instance_id="orders-1"), host="127.0.0.1", port=0)
"""


def _asab() -> None:
    importlib.import_module("peerage.asab.web.rest").json_schema_handler({"type": "object"})


def _httpx() -> None:
    importlib.import_module("peerage.integrations.httpx")
    with importlib.import_module("peerage.sync").Discovery("memory:") as discovery, discovery.client():
        pass


def _cli() -> None:
    # A child would inherit no warning filter.
    command = (sys.executable, "-W", "error", "-P", "-m", "peerage")
    done = subprocess.run([*command, "--version"], check=False, capture_output=True, text=True)
    # The exit code that `peerage --help` documents for this.
    if done.returncode == 7:
        raise MissingExtraError(done.stderr)
    done.check_returncode()


def _testing() -> None:
    importlib.import_module("peerage.testing").RegistryConformance  # noqa: B018 - it needs pytest
    (plugin,) = metadata.entry_points(group="pytest11", name="peerage")
    plugin.load()


#: For each extra something that needs it.
_USES: dict[str, Callable[[], object]] = {
    "asab": _asab,
    "auth": lambda: importlib.import_module("peerage.auth").Verifier,
    "cli": _cli,
    "httpx": _httpx,
    "httpx2": lambda: importlib.import_module("peerage.integrations.httpx2").AsyncTransport,
    "otel": lambda: importlib.import_module("peerage.telemetry").OpenTelemetry(),
    "prometheus": lambda: importlib.import_module("peerage.prometheus").handler(),
    "testing": _testing,
    "zookeeper": lambda: peerage.open_registry("zookeeper://localhost:2181/asab"),
}

#: What each extra brings along.
_INCLUDES = {
    "asab": {"auth"},
    "all": {"asab", "auth", "cli", "httpx", "httpx2", "otel", "prometheus", "zookeeper"},
}

#: What works with any extras, whatever web framework is installed.
_MODULES = (
    "peerage.integrations.asgi",
    "peerage.integrations.wsgi",
    "peerage.integrations.gunicorn",
    "peerage.sync",
)


async def _call() -> None:
    """Wait for the service as a program would, and call it by name."""
    async with Discovery() as discovery, discovery.session() as session:
        async with asyncio.timeout(_PATIENCE), aclosing(discovery.changes()) as changes:
            async for event in changes:
                if isinstance(event, Joined) and event.instance.instance_id == "orders-1":
                    break
        async with session.get("http://orders.service_id.asab/v1/orders") as response:
            assert await response.json() == ["tea", "biscuits"]


def check_call() -> None:
    """Advertise in one process, and call from another one."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PEERAGE_DIR"] = folder
        with subprocess.Popen([sys.executable, "-P", "-c", _SERVICE]) as service:
            try:
                asyncio.run(_call())
            finally:
                service.terminate()
        assert service.returncode == 0, f"The service ended with code {service.returncode}."


def check_extra(name: str, *, installed: bool) -> None:
    """Use what an extra is for; without the extra the message must have the line that installs it."""
    missing = None
    try:
        _USES[name]()
    except MissingExtraError as error:
        missing = str(error)
    if installed:
        assert missing is None, f"The extra {name} doesn't install what it needs: {missing}"
    else:
        assert missing is not None, f"What needs the extra {name} works without it."
        assert f"pip install 'peerage[{name}]'" in missing, missing


def main(extras: set[str]) -> None:
    """Check everything."""
    package = Path(str(peerage.__file__)).parent
    assert package.is_relative_to(sys.prefix), f"{package} isn't what was installed."
    assert (package / "py.typed").exists(), (
        "Type checkers ignore the annotations of a package without py.typed."
    )
    installed = extras.union(*(_INCLUDES.get(name, set()) for name in extras))
    for module in _MODULES:
        importlib.import_module(module)
    for name in _USES:
        check_extra(name, installed=name in installed)
    check_call()


if __name__ == "__main__":
    main(set(sys.argv[1:]))
