"""Importing peerage changes nothing in a program of the real framework, in either order."""

import pytest
from tests.asab.running import running

OTHER_WAY = "import peerage.asab.api, peerage.asab.api.service, peerage.asab.api.discovery, logging"

LOOK = """
between = logging.getLogger("between")
import asab
load("api", "api.discovery", "web", "zookeeper")
import peerage.asab.api.service, peerage.asab.api.discovery
after = logging.getLogger("after")
say(logging.getLoggerClass().__module__, type(after).__module__)
app = asab.Application(args=[])
between.warning("first", struct_data={"a": 1})
after.warning("second", struct_data={"a": 1})
logging.getLogger("peerage.asab.api").warning("third", struct_data={"a": 1})
api = peerage.asab.api.ApiService(app)
say("peerage.asab.config" in sys.modules, "peerage.asab.application" in sys.modules)
say(type(api._framework).__name__)
"""


@pytest.mark.parametrize("first", ["asab", "peerage"])
async def test_loggers_and_configuration(inside, first):
    """In either order the logger class is the framework's, and this layer's configuration isn't loaded."""
    program = LOOK if first == "asab" else f"{OTHER_WAY}\n{LOOK}"
    kind = inside
    if first == "peerage":
        # The line that every program begins with.
        program = f"assert 'asab' not in sys.modules\n{program}"
        kind = type(inside)(inside.command, "json", inside.path)
    async with running(program, kind=kind) as one:
        code, lines = await one.end()
        assert code == 0, one.log
        assert lines == ["asab.log asab.log", "False False", "RealAsab"]
        shown = [line for line in one.log.splitlines() if '[sd a="1"]' in line]
        assert [line.rpartition(" ")[2] for line in shown] == ["first", "second", "third"]


async def test_an_application_of_ours_beside_the_real_asab(inside):
    """It is recognised by its class, not by what is loaded."""
    program = """
import peerage.asab
from peerage.asab.api.framework import framework_of
say(type(framework_of(peerage.asab.Application(args=[]))).__name__)
say(type(framework_of(asab.Application(args=[]))).__name__)
"""
    async with running(program, kind=inside) as one:
        code, lines = await one.end()
        assert (code, lines) == (0, ["OwnLayer", "RealAsab"]), one.log


async def test_the_real_asab_is_not_imported(inside):
    """A program of this layer doesn't import it, although it is installed."""
    program = """
import peerage.asab.api
from peerage.asab.api.framework import framework_of
say(type(framework_of(peerage.asab.Application(args=[]))).__name__, "asab" in sys.modules)
"""
    async with running(program, kind=type(inside)(inside.command, "json", inside.path)) as one:
        code, lines = await one.end()
        assert (code, lines) == (0, ["OwnLayer False"]), one.log
