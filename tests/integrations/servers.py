"""Web servers as child processes, which run an application that advertises itself."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.web.programs import environ

from peerage.testing.children import Child, run

#: What has three more lines than without discovery. The names and the registry are in the environment.
APPLICATION: Final = """
import asyncio, os
from fastapi import FastAPI, Request

app = FastAPI()

@app.api_route("/work", methods=["GET", "POST"])
async def work(request: Request, takes: float = 0):
    await request.body()
    await asyncio.sleep(takes)
    return {"who": os.environ["INSTANCE_ID"], "pid": os.getpid()}

from peerage.integrations.asgi import discovered

app = discovered(app, lame_duck=float(os.environ.get("TEST_LAME_DUCK", 0.3)))
"""


class ServerProgram(NamedTuple):
    """How a web server is run."""

    command: tuple[str, ...]
    """Its module and arguments; ``{port}`` stands for the port."""
    exit_code: int = 0
    """Of the process after SIGTERM."""


#: Without an access log: it would be written to the standard error, which the tests keep.
_QUIET: Final = ("--no-access-log",)

_HYPERCORN: Final = ("hypercorn", "service:app", "--bind=127.0.0.1:{port}")
_GRANIAN: Final = ("granian", "service:app", "--interface=asgi", "--port={port}")

#: By name; all of them serve :data:`APPLICATION`, which is ``service:app``.
SERVERS: Final = {
    # uvicorn ends itself by the signal that it got.
    "uvicorn": ServerProgram(("uvicorn", "service:app", "--port={port}", *_QUIET), -15),
    "uvicorn with uvloop": ServerProgram(
        ("uvicorn", "service:app", "--port={port}", "--loop=uvloop", *_QUIET), -15
    ),
    "uvicorn with 4 workers": ServerProgram(
        ("uvicorn", "service:app", "--port={port}", "--workers=4", *_QUIET)
    ),
    "gunicorn with uvicorn's worker": ServerProgram(
        (
            *("gunicorn", "service:app", "--bind=127.0.0.1:{port}", "--no-control-socket"),
            *("--worker-class=uvicorn_worker.UvicornWorker", "--workers=2"),
        )
    ),
    # One worker with a supervisor.
    "hypercorn": ServerProgram((*_HYPERCORN,)),
    "hypercorn without a supervisor": ServerProgram((*_HYPERCORN, "--workers=0", "--worker-class=uvloop")),
    "hypercorn with 4 workers": ServerProgram((*_HYPERCORN, "--workers=4")),
    "granian": ServerProgram((*_GRANIAN, "--loop=asyncio")),
    "granian with 4 workers": ServerProgram((*_GRANIAN, "--loop=uvloop", "--workers=4")),
}


@asynccontextmanager
async def serving(
    server: ServerProgram,
    folder: Path,
    instance: str = "worker-0",
    port: int = 0,
    *,
    application: str = APPLICATION,
    **more: str,
) -> AsyncIterator[Child]:
    """Run *server* with *application* as an instance of ``worker``; it is killed at the end if it runs.

    Args:
        server: one of :data:`SERVERS`.
        folder: of the registry and of the application.
        instance: its instance_id.
        port: at which it listens; 0: a free one.
        application: the text of a module with ``app``.
        more: further variables of its environment.
    """
    (folder / "service.py").write_text(application)
    variables = environ(folder, instance, PEERAGE_DIR=str(folder / "locks"), **more)
    variables["PYTHONPATH"] = f"{folder}:{variables['PYTHONPATH']}"
    command = (part.format(port=port) for part in server.command)
    async with run(sys.executable, "-m", *command, environ=variables, cwd=folder, own_group=True) as child:
        try:
            yield child
        finally:
            # Workers outlive a supervisor that is killed.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
