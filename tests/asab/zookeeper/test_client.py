"""The row ``ZooKeeperContainer``: what it reads, its wrapper, its client, and the threads for it."""

from tests.asab.both import both, ours
from tests.asab.zookeeper.programs import CONTAINER, on


def test_reading(zookeeper):
    """None or {} for what isn't there; JSON in the encoding given."""
    outcome = both(
        CONTAINER
        + """
async def program(app, container):
    for path in ("", "no", "no/where", "a"):
        say(await container.get_children(path))
    say(await container.get_data("no"), await container.get_raw_data("no"))
    value = '[1, "\u017e"]'.encode("cp1250")
    await container.ZooKeeper.create(f"{PATH}/a/b", value, makepath=True)
    await container.ZooKeeper.create(f"{PATH}/a/no-json", b"")
    say(await container.get_data("a/b", encoding="cp1250"), await container.get_raw_data("/a/b"))
    say(sorted(await container.get_children("a")), await container.get_children("a/b"))
    try:
        await container.get_data("a/no-json")
    except ValueError as error:
        say(type(error).__name__)
run(program)
""",
        **on(zookeeper),
    )
    assert outcome.lines[:5] == ["[]", "None", "None", "None", "{} None"]


def test_wrapper(zookeeper):
    """ensure_path, exists, get_children, get_data, set_data, delete, create, upsert: results and errors."""
    outcome = both(
        CONTAINER
        + """
async def program(app, container):
    zk = container.ZooKeeper
    async def show(what, *args, **kwargs):
        try:
            found = await getattr(zk, what)(f"{PATH}/{args[0]}", *args[1:], **kwargs)
        except Exception as error:
            found = type(error).__name__
        if hasattr(found, "czxid"):
            found = ("stat", found.version, found.dataLength)
        say(what, str(found).replace(PATH, ""))
    await show("ensure_path", "a/b")
    await show("ensure_path", "a/b")
    await show("exists", "a/b")
    await show("exists", "a/c")
    await show("create", "a/n", b"value")
    await show("create", "a/n", b"value")
    await show("create", "x/y", b"value")
    await show("create", "x/y", b"value", makepath=True)
    await show("create", "a/s-", b"value", True, True)
    await show("get_children", "x")
    await show("get_children", "none")
    await show("get_data", "a/n")
    await show("get_data", "none")
    await show("set_data", "a/n", b"other")
    await show("set_data", "none", b"other")
    await show("upsert", "a/n", b"third")
    await show("upsert", "u/v", b"first")
    await show("get_data", "u/v")
    await show("delete", "a/n", 0)
    await show("delete", "a/n", 2)
    await show("delete", "a/n")
    await show("delete", "a", recursive=True)
    await show("delete", "x")
run(program)
""",
        **on(zookeeper),
    )
    assert "create NodeExistsError" in outcome.lines
    assert outcome.log.count("there is no such node") == 2


def test_wrapper_get(zookeeper):
    """Of the newest original: data and stat, twice None for what isn't there."""
    outcome = ours(
        CONTAINER
        + """
async def program(app, container):
    await container.ZooKeeper.create(f"{PATH}/a", b"value")
    data, stat = await container.ZooKeeper.get(f"{PATH}/a")
    say(data, stat.version, await container.ZooKeeper.get(f"{PATH}/b"))
run(program)
""",
        **on(zookeeper),
    )
    assert outcome.lines == ["b'value' 0 (None, None)"]


def test_calls_before_the_connection_wait_for_it(zookeeper):
    """The original's fail until it is there."""
    outcome = ours(
        CONTAINER
        + """
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.zookeeper.Module])
    async def initialize(self):
        service = self.get_service("asab.ZooKeeperService")
        container = asab.zookeeper.ZooKeeperContainer(service)
        say(container.is_connected(), bool(await container.ZooKeeper.exists("/zookeeper")))
        self.stop()
App().run()
""",
        **on(zookeeper),
    )
    assert outcome.lines == ["False True"], outcome.log


def test_client_is_kazoos(zookeeper):
    """A real KazooClient: blocking calls in threads, watches, recipes."""
    outcome = both(
        CONTAINER
        + """
import kazoo.client
async def program(app, container):
    client = container.ZooKeeper.Client
    say(isinstance(client, kazoo.client.KazooClient), client.connected, client is container.ZooKeeper.Client)
    changes, tell = asyncio.Queue(), app.Loop.call_soon_threadsafe
    def use():
        client.create(f"{PATH}/node", b"1", makepath=True)
        client.DataWatch(f"{PATH}/node", lambda data, _: tell(changes.put_nowait, data))
        with client.Lock(f"{PATH}/lock"):
            client.set(f"{PATH}/node", b"2")
        return client.get(f"{PATH}/node")[0]
    say(await container.ProactorService.execute(use))
    say(await changes.get(), await changes.get())
    def add(a, b):
        return a + b, threading.current_thread() is threading.main_thread()
    say(await container.ProactorService.execute(add, 1, 2))
run(program)
""",
        **on(zookeeper),
    )
    assert outcome.lines[0] == "True True True"


def test_client_before_there_is_a_loop(zookeeper):
    """Listeners may be given to it; calls fail until the loop runs. The original connects in a thread."""
    outcome = ours(
        CONTAINER
        + """
app = make()
client, states = app.container.ZooKeeper.Client, []
client.add_listener(lambda state: states.append(str(state)))
say(client.connected, client.chroot, client is app.container.ZooKeeper.Client)
try:
    client.exists("/")
except Exception as error:
    say(type(error).__name__)
async def main():
    await connected(app.container)
    say(client is app.container.ZooKeeper.Client, client.connected)
    app.stop()
app.main = main
app.run()
say(states)
""",
        **on(zookeeper),
    )
    assert outcome.lines == [
        "False  True",
        "ConnectionClosedError",
        "True True",
        "['CONNECTED', 'LOST']",
    ]


def test_client_of_an_application_that_never_runs(zookeeper):
    """Nothing is left of it."""
    outcome = ours(CONTAINER + "say(make().container.ZooKeeper.Client.connected)", **on(zookeeper))
    assert outcome.seen == (0, ["False"]), outcome.log


def test_the_proactor_module():
    """By itself, and before or after that of ZooKeeper: the same service."""
    outcome = both("""
load("proactor", "zookeeper")
for modules in (
    [asab.proactor.Module], [asab.proactor.Module, asab.zookeeper.Module],
    [asab.zookeeper.Module, asab.proactor.Module, asab.proactor.Module],
):
    app = asab.Application(args=[], modules=modules)
    proactor = app.get_service("asab.ProactorService")
    zookeeper = app.get_service("asab.ZooKeeperService")
    say(len(app.Modules))
    say(zookeeper is None or zookeeper.ProactorService is proactor)
    say([each.service is proactor for each in app.Modules if hasattr(each, "service")])
    async def main():
        say(await proactor.execute(max, 1, 2))
        app.stop()
    app.main = main
    app.run()
    asab.Singleton.delete(asab.Application)
""")
    assert outcome.lines == [*("1", "True", "[True]", "2"), *("2", "True", "[True]", "2") * 2]
