"""The programs of docs/production.md work as they are printed, but for the port."""

import os
import re
import signal
import sys
from pathlib import Path

from tests.docs import pages

from peerage import Discovery
from peerage.testing import eventually
from peerage.testing.children import run


def program(name: str) -> str:
    """Return the program that follows the comment with its name; its server listens on a free port."""
    return pages.program("docs/production.md", name).replace("port=8080", 'host="127.0.0.1", port=0')


async def test_a_program_calls_the_service(tmp_path: Path) -> None:
    """The service says in its log that it is found, that it drains, and that its record is withdrawn."""
    environ = {**os.environ, "PEERAGE_DIR": str(tmp_path)}
    named = {**environ, "SERVICE_ID": "orders", "INSTANCE_ID": "orders-1"}
    async with (
        run(sys.executable, "-c", program("production_service.py"), environ=named) as service,
        Discovery(f"embedded://{tmp_path}") as discovery,
    ):

        async def is_found() -> bool:
            return bool(await discovery.locate(service_id="orders"))

        await eventually(is_found, "the service")
        caller = (sys.executable, "-c", program("production_caller.py"))
        async with run(*caller, environ=environ) as child:
            code, out = await child.end()
        assert code == 0, child.log
        get, post, counts = out.splitlines()
        assert (get, post) == ("200 ['tea', 'biscuits']", "200")
        assert "attempts={'answered': 2}" in counts
        service.signal(signal.SIGTERM)
        assert await service.wait() == 0
    said = [line for line in service.log.splitlines() if ":peerage." in line]
    assert [re.sub(r"[ :].*", "", line.split(":", 2)[2]) for line in said] == [
        *("Advertised", "SIGTERM", "Updated", "Withdrawn")
    ]
