"""The row ``ZooKeeperContainer`` without servers: what the registry of this machine can do of it."""

import pytest
from tests.asab.both import ours
from tests.asab.running import running
from tests.asab.zookeeper.programs import CONTAINER

from peerage import Discovery
from peerage.testing import eventually


@pytest.fixture
def environ(tmp_path):
    """A folder for this test alone."""
    return {"PEERAGE_DIR": str(tmp_path / "registry")}


def test_records(environ):
    """Advertised, changed in place, listed and read, below run/."""
    outcome = ours(
        CONTAINER
        + """
async def main():
    container = app.container
    container.advertise({"a": 1}, "/run/App.")
    async def children():
        # The backend chooses what follows the last dot.
        return [name.rpartition(".")[0] for name in await container.get_children("run")]
    async def data(prefix):
        for name in await container.get_children("run"):
            if name.startswith(prefix):
                return await container.get_raw_data(f"run/{name}")
    await until(children, ["App"])
    container.advertise({"a": 2}, "/run/App.")
    await until(lambda: data("App"), b'{"a": 2}')
    container.advertise("not json", "run/Other")
    await until(lambda: data("Other"), b"not json")
    (app_name, _) = await container.get_children("run")
    say(await container.get_data(f"run/{app_name}"))
    say(await container.get_data("run/No.1"), await container.get_raw_data("/run/No.1"))
    app.stop()
app = make()
app.main = main
app.run()
""",
        **environ,
    )
    assert outcome.lines == ["['App']", "b'{\"a\": 2}'", "b'not json'", "{'a': 2}", "{} None"], outcome.log


def test_connected(environ):
    """It is always connected; the message is published once the registry can be read."""
    outcome = ours(
        CONTAINER
        + """
app = make()
for state in ("CONNECTED", "SUSPENDED", "LOST"):
    app.PubSub.subscribe(
        f"ZooKeeperContainer.state/{state}!",
        lambda message, container: say(message, container is app.container, container.is_connected()),
    )
class Late(asab.Service):
    async def initialize(self, app):
        await app.PubSub.message("ZooKeeperContainer.state/CONNECTED!")
        say("a service hears it as well")
        app.stop()
Late(app, "late")
say(app.container.is_connected())
app.run()
""",
        **environ,
    )
    assert outcome.lines == [
        "True",
        "ZooKeeperContainer.state/CONNECTED! True True",
        "a service hears it as well",
        "ZooKeeperContainer.state/LOST! True True",
    ], outcome.log


def test_other_calls_name_what_to_configure(environ):
    """One error for all of it."""
    outcome = ours(
        CONTAINER
        + """
async def main():
    container, zk = app.container, app.container.ZooKeeper
    async def client():
        return zk.Client
    async def advertise():
        container.advertise("x", "/else/x.")
    for attempt in (
        client, advertise, container.get_children, lambda: container.get_children("else"),
        lambda: container.get_data("else/x"), lambda: container.get_raw_data("x"), lambda: zk.exists("/x"),
        lambda: zk.get("/x"), lambda: zk.get_children("/x"), lambda: zk.get_data("/x"),
        lambda: zk.ensure_path("/x"), lambda: zk.create("/x", b""), lambda: zk.set_data("/x", b""),
        lambda: zk.upsert("/x", b""), lambda: zk.delete("/x"),
    ):
        try:
            await attempt()
        except ValueError as error:
            say(type(error).__name__, str(error).endswith("set servers in [zookeeper]."))
    say(await container.ProactorService.execute(len, "abc"))
    app.stop()
app = make()
app.main = main
app.run()
""",
        **environ,
    )
    assert outcome.lines == ["ConfigurationError True"] * 15 + ["3"], outcome.log


@pytest.mark.parametrize("path", [None, "/asab", "mine"])
async def test_the_folder_follows_the_path(environ, monkeypatch, path):
    """And the default is the one that the command reads."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    program = (
        CONTAINER
        + f"""
app = make(config={{"path": {path!r}}} if {path!r} else None)
app.container.advertise({{"service_id": "it", "host": "x"}}, "/run/App.")
app.run()
"""
    )
    url = "embedded:?path=/mine" if path == "mine" else "embedded:"
    async with running(program, environ=environ) as one, Discovery(url) as discovery:
        await eventually(lambda: discovery.directory.find((("service_id", "it"),)))
        one.terminate()
        await one.end()
        await eventually(lambda: not discovery.directory.find((("service_id", "it"),)))


def test_an_unusable_folder_is_said(tmp_path):
    """It isn't connected then, and the program runs."""
    folder = tmp_path / "open"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    outcome = ours(
        CONTAINER
        + """
from peerage.asab.zookeeper import container
container.REPORT_AFTER = 0.1
class Recorder(logging.Handler):
    def emit(self, record):
        if "No connection" in record.getMessage():
            app.stop()
app = make()
logging.getLogger("peerage.asab.zookeeper").addHandler(Recorder())
say(app.run())
""",
        PEERAGE_DIR=str(folder),
    )
    assert outcome.seen == (0, ["0"]), outcome.log
    assert f"No connection to embedded://{folder} yet" in outcome.log
