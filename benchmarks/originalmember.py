"""A process of the cluster under faults, of the original, asab 25.15; it doesn't import peerage.

It does what ``tests/chaos/member.py`` does, is told the same by its environment, and writes the same trace.
Its calls are those of the documentation: a session for each, with a limit of five seconds.
"""

import asyncio
import itertools
import json
import os
import sys
import threading
import time
import urllib.parse
from typing import Any

import aiohttp
import aiohttp.web

sys.modules["jwcrypto"] = None  # type: ignore[assignment] # as if it weren't installed

import asab  # noqa: E402 - after that
import asab.api  # noqa: E402 - likewise
import asab.api.discovery  # noqa: E402 - likewise
import asab.web  # noqa: E402 - likewise
import asab.web.rest  # noqa: E402 - likewise
import asab.zookeeper  # noqa: E402 - likewise

_PROCESS = os.environ["TEST_PROCESS"]
_SERVICE = os.environ["SERVICE_ID"]
_INSTANCE = os.environ["INSTANCE_ID"]
_ADDRESS = os.environ["TEST_ADDRESS"]
_PORT = os.environ["TEST_PORT"]
_NONCE = f"{_PROCESS}/1"
_REGISTRY = urllib.parse.urlsplit(os.environ["PEERAGE_REGISTRY"])

#: Methods of the calls, in turn; further headers, and how often they may be processed.
_CALLS = (
    ("GET", [], "safe"),
    ("POST", [], "once"),
    ("GET", [], "safe"),
    ("POST", ["Idempotency-Key"], "idempotent"),
    ("PUT", [], "idempotent"),
)
_SECONDS = 5.0

asab.Config.add_defaults(
    {
        "general": {"tick_period": "1"},
        "web": {"listen": f"0.0.0.0 {_PORT}"},
        "zookeeper": {"servers": _REGISTRY.netloc, "path": _REGISTRY.path},
    }
)

_descriptor = os.open(os.environ["TEST_TRACE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def write(event: str, **fields: Any) -> None:
    """Add an event to the trace."""
    line = {"event": event, "at": time.monotonic(), **fields}
    os.write(_descriptor, (json.dumps(line) + "\n").encode())


class Member(asab.Application):  # type: ignore[misc] # asab has no types
    """An instance of a service, or a caller."""

    def __init__(self) -> None:
        super().__init__(args=[])
        write("Started", process=_PROCESS, host=_INSTANCE)
        self.add_module(asab.zookeeper.Module)
        container = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), "zookeeper")
        if _PORT == "0":
            self._service = asab.api.discovery.DiscoveryService(self, container)
        else:
            self.add_module(asab.web.Module)
            web = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
            web.WebApp.router.add_route("*", "/", self._serve)
            api = asab.api.ApiService(self)
            api.initialize_web(web)
            api.update_discovery({"nonce": [_NONCE]})
            api.initialize_zookeeper(container)
            self._service = api.DiscoveryService
        self._container = container
        member = self

        class Scanned(asyncio.Event):
            """Set at the end of each scan."""

            def set(self) -> None:
                super().set()
                member._look()

        self._service._ready_event = Scanned()
        self.PubSub.subscribe("Application.exit!", self._leave)

    def _look(self) -> None:
        found = self._service._advertised_cache.get("nonce", {})
        sights = [
            [nonce, nonce.rpartition("-")[0], nonce.partition(".")[0], f"{host}:{port}", "", 0, False]
            for nonce, addresses in found.items()
            for host, port, _ in addresses
        ]
        write("Viewed", process=_PROCESS, sights=sorted(sights))

    async def _serve(self, request: Any) -> Any:
        call = request.headers.get("Simulated-Call")
        if call is not None:
            write("Handled", call=call, process=_PROCESS, service=_SERVICE)
        await request.read()
        return aiohttp.web.Response(text=_SERVICE)

    def _leave(self, *_: object) -> None:
        if _PORT != "0":
            write("Withdrawn", nonce=_NONCE)

    async def main(self) -> None:
        """Advertise, or call until the input ends."""
        if _PORT != "0":
            # It has no event for that.
            # asab doesn't say when it is registered.
            while not any(each.RealPath for each in self._container.Advertisments.values()):  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)
            write(
                "Advertised",
                process=_PROCESS,
                nonce=_NONCE,
                service=_SERVICE,
                instance=_INSTANCE,
                address=f"{_ADDRESS}:{_PORT}",
            )
            return
        over = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
        services, rate, begin = (
            os.environ["TEST_SERVICES"].split(),
            float(os.environ["TEST_RATE"]),
            time.monotonic(),
        )
        calls: set[asyncio.Task[None]] = set()
        for number in itertools.count():
            service, how = services[number % len(services)], _CALLS[number % len(_CALLS)]
            task = asyncio.create_task(self._call(f"{_PROCESS}/{number}", service, *how))
            calls.add(task)
            task.add_done_callback(calls.discard)
            await asyncio.sleep(max(0.0, begin + (number + 1) / rate - time.monotonic()))
            if over.is_set():
                break
        while calls:
            await asyncio.wait(calls)
        self.stop()

    async def _call(self, label: str, service: str, method: str, keys: list[str], repeatable: str) -> None:
        headers = dict.fromkeys(("Simulated-Call", *keys), label)
        write("CallBegan", call=label, process=_PROCESS, service=service, repeatable=repeatable)
        error, limit = "", aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with (
                self._service.session(timeout=limit) as session,
                session.request(
                    method,
                    f"http://{service}.service_id.asab/",
                    headers=headers,
                    data=None if method == "GET" else b"{}",
                ) as response,
            ):
                text = await response.text()
            if text != service:
                error = f"status {response.status}: {text!r}"
        except Exception as problem:  # noqa: BLE001 - how it ended
            error = f"{type(problem).__name__}: {problem}"
        write("CallEnded", call=label, error=error)


if __name__ == "__main__":
    Member().run()
