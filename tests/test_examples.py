"""The programs of examples/, by the commands of their README: on one machine, and on ZooKeeper."""

import asyncio
import itertools
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from peerage import Discovery
from peerage.records.names import parse_host
from peerage.testing import eventually
from peerage.testing.children import Child, run

ROOT = Path(__file__).parent.parent
README = (ROOT / "examples/README.md").read_text(encoding="utf-8")

#: What is said of clusters, whose servers have other names here.
CLUSTER = "In a cluster"
SERVERS = "zk-1:2181,zk-2:2181,zk-3:2181"

_numbers = itertools.count()


@dataclass(frozen=True)
class Step:
    """A command, and what it answers; a service answers nothing and goes on."""

    command: str
    answer: str


def sections() -> dict[str, list[Step]]:
    """Return the commands of the README, in order, by the titles above them."""
    found = {}
    for section in README.split("\n## ")[1:]:
        blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
        commands = "".join(blocks).removeprefix("$ ").split("\n$ ")
        found[section.partition("\n")[0]] = [Step(*f"{command}\n".split("\n", 1)) for command in commands]
    return found


SECTIONS = sections()
TITLES = [title for title in SECTIONS if title != CLUSTER]

#: Mostly the same commands as those of another section.
LONG = {"Authorization with FastAPI", "A service that shows the cluster"}


@dataclass(frozen=True)
class Environment:
    """Where programs find each other."""

    registry: str
    environ: dict[str, str]

    async def answer(self, command: str, code: int = 0) -> str:
        """Return what *command* prints; it ends with *code*."""
        async with self._running(command) as child:
            ended, out = await child.end()
        assert ended == code, f"{out}{child.log}"
        return out.rstrip("\n")

    @asynccontextmanager
    async def service(self, command: str) -> AsyncIterator[None]:
        """Run a service; in the end SIGTERM stops it, and it leaves a clean log."""
        async with self._running(command) as child:
            yield
            child.terminate()
            code, out = await child.end()
            # uvicorn ends with the signal that it got.
            assert (code, out) in {(0, ""), (-signal.SIGTERM, "")}, child.log
        for complaint in (" ERROR ", " CRITICAL ", "Traceback", "Exception ignored", "was never retrieved"):
            assert complaint not in child.log, child.log

    def _running(self, command: str) -> AbstractAsyncContextManager[Child]:
        return run("sh", "-c", f"exec env {command}", cwd=ROOT, environ=self.environ)


@pytest.fixture
def bare() -> dict[str, str]:
    """The environment of a terminal that knows nothing of any cluster; each warning is an error."""
    own = ("ASAB_", "PEERAGE_", "SERVICE_ID", "INSTANCE_ID", "NODE_ID", "SITE_ID", "container")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(own)},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONDEVMODE": "1",
        "PYTHONWARNINGS": "error",
        "ASAB_HOSTNAME": "node-1",
    }


@pytest.fixture
def embedded(bare, tmp_path) -> Environment:
    """Nothing is configured but a folder for this test alone."""
    folder = tmp_path / "registry"
    return Environment(f"embedded://{folder}", {**bare, "PEERAGE_DIR": str(folder)})


@pytest.fixture
def cluster(bare, zookeeper) -> Environment:
    """What the README says of clusters, with a real server."""
    servers = f"{zookeeper.address}/examples-{os.getpid()}-{next(_numbers)}"
    exports = [step.command.removeprefix("export ") for step in SECTIONS[CLUSTER]]
    variables = dict(export.replace(SERVERS, servers).split("=", 1) for export in exports)
    return Environment(variables["PEERAGE_REGISTRY"], {**bare, **variables})


@pytest.fixture(params=["embedded", pytest.param("cluster", marks=pytest.mark.long)])
def environment(request) -> Environment:
    """Each of them."""
    return request.getfixturevalue(request.param)


async def known(discovery: Discovery, *hosts: str) -> None:
    """Wait until each of the logical *hosts* is advertised by an instance that can be called."""
    await discovery.ready()
    for host in hosts:
        await eventually(lambda host=host: discovery.directory.targets(*parse_host(host)), host)


def names_in(command: str) -> list[str]:
    """Return the logical hosts that *command* advertises or calls."""
    own = re.findall(r"\b([A-Z]+_ID)=(\S+)", command)
    return [
        *(f"{value}.{key.lower()}.asab" for key, value in own),
        *re.findall(r"http://(\S+\.asab)\b", command),
    ]


def shown(text: str) -> str:
    """Return *text* with the port of the README."""
    return re.sub(r"(?<=http://node-1:)\d+", "41741", text)


#: What needs a package that isn't among those for tests; tests/integrations/test_grpc.py runs it.
APART = {"grpc_client.py"}


def test_each_program_is_shown():
    """None is forgotten, and the commands have answers of the programs that they start."""
    commands = " ".join(step.command for title in TITLES for step in SECTIONS[title])
    for program in (ROOT / "examples").glob("*.py"):
        assert (
            program.name in APART
            or f"python examples/{program.name}" in commands
            or f"{program.stem}:app" in commands
        )


@pytest.mark.parametrize(
    "title", [pytest.param(each, marks=[pytest.mark.long] if each in LONG else []) for each in TITLES]
)
async def test_the_commands_answer_what_is_shown(title, environment):
    """To the letter, but for the port."""
    async with AsyncExitStack() as services, Discovery(environment.registry) as discovery:
        for step in SECTIONS[title]:
            if step.answer:
                await known(discovery, *names_in(step.command))
                assert shown(await environment.answer(step.command)) == step.answer.strip()
            else:
                await services.enter_async_context(environment.service(step.command))
                await known(discovery, *names_in(step.command))


async def test_no_instance_serves(environment):
    """The client says so, and its exit code as well."""
    client = SECTIONS[TITLES[0]][1].command
    located, error = (await environment.answer(client, code=1)).splitlines()
    assert located == "set()"
    assert error.startswith("No instance with service_id='orders' is among the 0 that are known.")


async def test_a_second_service_of_a_name(environment):
    """Calls go to either; one of them is stopped meanwhile, and no call fails."""
    first, client = (step.command for step in SECTIONS[TITLES[0]])
    second = first.replace("orders-1", "orders-2").partition(" -c ")[0]
    assert second != first
    calls, answers = 0, set()

    async def call_on() -> None:
        nonlocal calls
        async with discovery.session("http://orders.service_id.asab") as session:
            while True:
                async with session.get("/v1/orders", raise_for_status=True) as response:
                    answers.add(" ".join((await response.json())["items"]))
                calls += 1

    async with (
        Discovery(environment.registry) as discovery,
        environment.service(first),
        AsyncExitStack() as stack,
    ):
        async with environment.service(second):
            await known(discovery, *names_in(first), *names_in(second))
            assert (await environment.answer(client)).count("http://node-1:") == 2
            calling = asyncio.ensure_future(call_on())
            stack.push_async_callback(asyncio.wait, [calling])
            stack.callback(calling.cancel)
            await eventually(lambda: len(answers) == 2 or calling.done())
        before = calls
        await eventually(lambda: calls > before + 10 or calling.done())
    assert calling.cancelled(), calling.exception()
    assert answers == {"tea biscuits", "tea"}
