"""Servers as child processes, each ended by a signal."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from peerage.testing.children import STRICT, Child, run

#: The application that all of them serve. The names and the registry are in the environment.
APPLICATION: Final = """
import asyncio, os, signal, socket, sys
from aiohttp import web
from peerage import Advert, Discovery
from peerage.serving import signals
from peerage.web import GracefulStop, drain_on_signals, run_app

async def work(request):
    await request.read()
    await asyncio.sleep(float(request.query.get("takes", 0)))
    return web.json_response({"who": os.environ["INSTANCE_ID"]})

async def upload(request):
    print("receiving", flush=True)
    return web.Response(text=await request.text())

async def chat(request):
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for message in ws:
        await ws.send_str(message.data)
    print("the chat is over", flush=True)
    return ws

def made():
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/work", work)
    app.router.add_post("/upload", upload)
    app.router.add_get("/chat", chat)
    return app

PORT = int(os.environ.get("TEST_PORT", 0))
LAME_DUCK = float(os.environ.get("TEST_LAME_DUCK", 0.3))
signals.SAME_STOP = float(os.environ.get("TEST_SAME_STOP", signals.SAME_STOP))
app = made()
discovery = Discovery()
"""

#: Served by ours.
RUN_APP: Final = f"""
{APPLICATION}
run_app(app, discovery, host="127.0.0.1", port=PORT, lame_duck=LAME_DUCK)
"""

_DRAINING: Final = """
graceful = GracefulStop(app)

async def advertised(app):
    async with discovery:
        drain_on_signals(graceful, discovery, lame_duck=LAME_DUCK)
        await discovery.advertise(web=[address])
        yield

app.cleanup_ctx.append(advertised)
"""

#: An application that drains by itself, whatever the server is.
DRAINING: Final = f"""
{APPLICATION}
listening = socket.create_server(("127.0.0.1", PORT))
address = listening.getsockname()
{_DRAINING}
"""

#: It, for gunicorn, and gunicorn's configuration: the port is known before the workers are forked.
GUNICORN: Final = f"""
{APPLICATION}
address = "127.0.0.1", PORT
{_DRAINING}
"""
GUNICORN_CONFIGURATION: Final = """
import os
bind = "127.0.0.1:" + os.environ.get("TEST_PORT", "0")
worker_class = "aiohttp." + os.environ.get("TEST_WORKER", "GunicornWebWorker")
control_socket_disable = True  # it would be in the home folder
def when_ready(server):
    os.environ["TEST_PORT"] = str(server.LISTENERS[0].sock.getsockname()[1])
"""

#: It, served by aiohttp's own function.
AIOHTTP: Final = f"""
{DRAINING}
web.run_app(app, sock=listening, print=None, access_log=None)
"""

#: It, served by a runner that its program stops.
OWN_RUNNER: Final = f"""
{DRAINING}
async def main():
    # It calls drain_on_signals() at its startup.
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    await stopping.wait()
    await graceful.stop(runner)

asyncio.run(main())
"""

PROGRAMS: Final = {"run_app": RUN_APP, "aiohttp's run_app": AIOHTTP, "its own runner": OWN_RUNNER}


def environ(folder: Path, instance: str, **more: str) -> dict[str, str]:
    """The environment of one instance of ``worker`` whose registry is in *folder*."""
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join(path for path in sys.path if path),
        "PYTHONUNBUFFERED": "1",
        "PEERAGE_REGISTRY": f"embedded://{folder}/registry",
        "SERVICE_ID": "worker",
        "INSTANCE_ID": instance,
        **more,
    }


@asynccontextmanager
async def serving(
    program: str, folder: Path, instance: str = "worker-0", *, python: Sequence[str] = STRICT, **more: str
) -> AsyncIterator[Child]:
    """Run an instance, by gunicorn if *program* is its configuration; at the end it is killed if it runs."""
    command = (*python, "-c", program)
    if program == GUNICORN_CONFIGURATION:
        (folder / "service.py").write_text(GUNICORN)
        (folder / "gunicorn.conf.py").write_text(program)
        command = (sys.executable, "-m", "gunicorn", "service:app")
    async with run(*command, environ=environ(folder, instance, **more), cwd=folder) as child:
        yield child
