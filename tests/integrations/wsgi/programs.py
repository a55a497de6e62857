"""Flask and Django programs under gunicorn, each ended by a signal."""

import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.web.programs import environ

from peerage.testing.children import Child, run

#: A service that is called. Its pages say which process answers.
FLASK: Final = """
import logging, os, time
from flask import Flask, request
from peerage.integrations.wsgi import discovered

logging.basicConfig(level="INFO", format="%(process)d %(message)s")
if os.path.exists("slow"):  # a larger application takes longer to load
    time.sleep(2)
app = Flask(__name__)

@app.route("/work", methods=["GET", "POST"])
def work():
    request.get_data()
    time.sleep(float(request.args.get("takes", 0)))
    return {"who": os.environ["INSTANCE_ID"], "pid": os.getpid()}

app.wsgi_app = discovered(app.wsgi_app, lame_duck=float(os.environ.get("TEST_LAME_DUCK", 1.0)))
logging.info("The application is loaded")
"""

#: The workers of gunicorn for WSGI applications.
WORKERS: Final = {"sync": ("--workers", "4"), "gthread": ("--workers", "2", "--threads", "8")}

PRELOAD: Final = ("--preload", "--config", "python:peerage.integrations.gunicorn")


@asynccontextmanager
async def gunicorn(
    program: str,
    folder: Path,
    instance: str = "worker-0",
    *options: str,
    python: Sequence[str] = (sys.executable,),
    port: int = 0,
    **more: str,
) -> AsyncIterator[Child]:
    """Serve ``app`` of *program*; at the end it is stopped if it runs."""
    (folder / "service.py").write_text(program)
    command = (*python, "-m", "gunicorn", "--no-control-socket", "--bind", f"127.0.0.1:{port}")
    variables = environ(folder, instance, **more)
    async with run(*command, *options, "service:app", environ=variables, cwd=folder) as child:
        try:
            yield child
        finally:
            # If it were killed, its workers would notice after many seconds.
            if child.returncode is None:
                child.signal(signal.SIGQUIT)
                await child.end()
