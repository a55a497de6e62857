"""The row ``ZooKeeperContainer``: its session, its states, what it advertises, reads and writes."""

from kazoo.client import KazooClient
from tests.asab.both import both, ours
from tests.asab.running import running
from tests.asab.zookeeper.programs import CONTAINER, on

from peerage import Discovery
from peerage.testing import eventually
from peerage.testing.zookeeper import Proxy


def test_constructed_at_once(zookeeper):
    """Before the loop runs there are the service, the path without a slash in front, and no connection."""
    outcome = both(
        CONTAINER
        + """
app = make()
say(type(app.get_service("asab.ZooKeeperService")).__name__, app.container.ConfigSectionName)
say(app.container in app.get_service("asab.ZooKeeperService").Containers, app.container.App is app)
say("/" + app.container.Path == PATH)
# The original connects from a thread, at once: it may be there by now.
if asab.__name__ != "asab":
    assert not app.container.is_connected()
for path in ("/a/b", "a/b", "zookeeper:///a/b", f"zookeeper://{os.environ['TEST_SERVERS']}/a/b"):
    say(asab.zookeeper.ZooKeeperContainer(app.get_service("asab.ZooKeeperService"), z_path=path).Path)
async def main():
    app.stop()
app.main = main
app.run()
""",
        **on(zookeeper),
    )
    assert outcome.lines[-4:] == ["a/b"] * 4


def test_states_are_published_with_the_container(zookeeper):
    """CONNECTED! once there is a session and its path is there, LOST! at the end."""
    outcome = both(
        CONTAINER
        + """
app = make()
async def heard(message, container):
    say(message, container is app.container, container.is_connected())
    if container.is_connected():
        say(await app.container.get_children())
        app.stop()
for state in ("CONNECTED", "SUSPENDED", "LOST"):
    app.PubSub.subscribe(f"ZooKeeperContainer.state/{state}!", heard)
app.run()
""",
        **on(zookeeper),
    )
    assert outcome.lines == [
        "ZooKeeperContainer.state/CONNECTED! True True",
        "[]",
        "ZooKeeperContainer.state/LOST! True False",
    ]


async def test_states_through_outages(zookeeper):
    """SUSPENDED! while there is no connection; LOST! when its session has ended."""
    proxy = Proxy(zookeeper.address)
    await proxy.start()
    program = (
        CONTAINER
        + """
app = make()
def heard(message, container):
    say(message.partition("/")[2], container.is_connected())
for state in ("CONNECTED", "SUSPENDED", "LOST"):
    app.PubSub.subscribe(f"ZooKeeperContainer.state/{state}!", heard)
app.run()
"""
    )
    try:
        async with running(program, environ={**on(zookeeper), "TEST_SERVERS": proxy.address}) as one:
            assert await one.line() == "CONNECTED! True"
            await proxy.refuse()
            assert await one.line() == "SUSPENDED! False"
            await proxy.heal()
            assert await one.line() == "CONNECTED! True"
            await proxy.expire_sessions()
            lines = [await one.line() for _ in range(3)]
            assert [line.split()[0] for line in lines] == ["SUSPENDED!", "LOST!", "CONNECTED!"]
            one.terminate()
            assert await one.end() == (0, ["LOST! False"])
            assert "is SUSPENDED" in one.log
    finally:
        await proxy.aclose()


def test_advertise(zookeeper):
    """A dictionary, a text or bytes, anywhere below the path, again in place."""
    outcome = both(
        CONTAINER
        + """
async def program(app, container):
    names = {}
    for data, path in (({"a": 1}, "/run/App."), ("text", "/else/where/thing"), (b"bytes", "/more/bare.")):
        container.advertise(data, path)
        folder = path.strip("/").rpartition("/")[0]
        while not (found := set(await container.get_children(folder) or ()) - set(names.get(folder, ()))):
            await asyncio.sleep(0.005)
        names.setdefault(folder, set()).update(found)
    for folder, found in names.items():
        for name in sorted(found):
            stat = await container.ZooKeeper.exists(f"{PATH}/{folder}/{name}")
            say(folder, name, await container.get_raw_data(f"{folder}/{name}"), stat.ephemeralOwner != 0)
    say(await container.get_data("run/App.0000000000"))
    container.advertise({"a": 2}, "/run/App.")
    await until(lambda: container.get_data("run/App.0000000000"), {"a": 2})
    say(await container.get_children("run"))
run(program)
""",
        **on(zookeeper),
    )
    assert "else/where thing0000000000 b'text' True" in outcome.lines
    assert outcome.lines[-2:] == ["{'a': 2}", "['App.0000000000']"]


def test_paths_of_what_is_advertised(zookeeper):
    """Slashes too many are none, one at the end is a folder; nothing is written beside the path."""
    outcome = both(
        CONTAINER
        + """
async def found(zookeeper, path):
    paths = []
    for name in sorted(await zookeeper.get_children(path) or ()):
        paths += [f"{path}/{name}", *await found(zookeeper, f"{path}/{name}")]
    return paths
async def program(app, container):
    for path in ("/", "/run/", "//a//b", "/c/d.", "/e/ž."):
        container.advertise("x", path)
    container.advertise("y", "/a/b" if asab.__name__ != "asab" else "//a//b")
    while len(nodes := await found(container.ZooKeeper, PATH)) < 9:
        await asyncio.sleep(0.005)
    say([node.removeprefix(PATH) for node in nodes])
    roots = await container.ZooKeeper.get_children("/")
    say([name for name in roots if name.startswith(PATH[1:])] == [PATH[1:]])
run(program)
""",
        **on(zookeeper),
    )
    assert outcome.lines[-1] == "True"


def test_what_cannot_be_advertised(zookeeper):
    """It is said where it is asked for, before and after the start, and everything else goes on."""
    outcome = ours(
        CONTAINER
        + """
def attempt(app):
    for data in (["a"], 5, None, {"a": {1}}, "\\ud800"):
        try:
            app.container.advertise(data, "/run/App.")
        except (TypeError, ValueError) as error:
            say(type(error).__name__)
    try:
        app.container.advertise(["a"], "/run/App.")
    except TypeError as error:
        say(error)
app = make()
attempt(app)
async def main():
    await connected(app.container)
    client = app.container.ZooKeeper.Client
    attempt(app)
    say(await app.container.get_children(), client is app.container.ZooKeeper.Client)
    app.stop()
app.main = main
app.run()
""",
        **on(zookeeper),
    )
    said = [
        *["TypeError"] * 4,
        "UnicodeEncodeError",
        "advertise(['a'], …): write a dictionary, a text or bytes.",
    ]
    assert outcome.lines == [*said, *said, "[] True"], outcome.log


def test_advertised_before_there_is_a_loop(zookeeper):
    """It is written with the first connection; the original doesn't wait for that, and it is lost."""
    outcome = ours(
        CONTAINER
        + """
app = make()
app.container.advertise({"early": 1}, "/run/App.")
app.container.advertise({"early": 2}, "run/App.")
async def main():
    await until(lambda: app.container.get_data("run/App.0000000000"), {"early": 2})
    app.stop()
app.main = main
app.run()
""",
        **on(zookeeper),
    )
    assert outcome.lines == ["{'early': 2}"], outcome.log


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
client, told = app.container.ZooKeeper.Client, []
client.add_listener(lambda state: told.append(str(state)))
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
say(told)
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


def test_proactor_schedule(zookeeper):
    """Nobody waits; an exception is logged."""
    outcome = both(
        CONTAINER
        + """
async def program(app, container):
    done = threading.Event()
    def fail():
        try:
            return 1 // 0
        finally:
            done.set()
    app.get_service("asab.ProactorService").schedule(fail)
    say(await container.ProactorService.execute(done.wait, 10))
    await asyncio.sleep(0)
run(program)
""",
        **on(zookeeper),
    )
    assert "ZeroDivisionError" in outcome.log


async def test_one_session_for_all(zookeeper):
    """Discovery, advertised nodes and the client's calls go over one connection."""
    program = (
        CONTAINER
        + """
app = make()
async def main():
    discovery = app.container.open_discovery()
    await discovery.advertise(port=1234, ids={"which": ["one"]})
    app.container.advertise("x", "/else/x.")
    await until(lambda: app.container.get_children("else"), ["x.0000000000"])
    zookeeper, owners = app.container.ZooKeeper, []
    for folder in ("run", "else"):
        for name in await app.container.get_children(folder):
            owners.append((await zookeeper.exists(f"{PATH}/{folder}/{name}")).ephemeralOwner)
    say(owners == [zookeeper.Client.client_id[0]] * 2)
app.main = main
app.run()
"""
    )
    proxy = Proxy(zookeeper.address)
    await proxy.start()
    try:
        environ = {**on(zookeeper), "TEST_SERVERS": proxy.address}
        async with running(program, environ=environ) as one:
            await one.line()
            assert await one.line() == "True"
            assert len(proxy.sessions) == 1
            url = f"zookeeper://{zookeeper.address}{environ['TEST_PATH']}-ours"
            async with Discovery(url) as other:
                await eventually(lambda: other.directory.find((("which", "one"),)))
    finally:
        await proxy.aclose()


def test_servers_with_a_chroot(zookeeper):
    """As kazoo has them, "server:port/chroot": all paths, of calls and records, are below it."""
    client = KazooClient(zookeeper.address)
    client.start()
    environ = on(zookeeper)
    chroot = f"{environ['TEST_PATH']}-chroot"
    client.ensure_path(chroot)
    try:
        outcome = both(
            CONTAINER
            + """
async def program(app, container):
    container.advertise("x", "/run/x.")
    await until(lambda: container.get_children("run"), ["x.0000000000"])
    say(bool(await container.ZooKeeper.exists(f"{PATH}/run/x.0000000000")))
    say(container.ZooKeeper.Client.chroot == os.environ["TEST_CHROOT"])
run(program)
""",
            **{**environ, "TEST_SERVERS": f"{zookeeper.address}{chroot}", "TEST_CHROOT": chroot},
        )
        assert outcome.lines == ["['x.0000000000']", "True", "True"]
        assert client.exists(f"{chroot}{environ['TEST_PATH']}-ours/run") is not None
    finally:
        client.stop()
        client.close()


def test_no_server_there(zookeeper):
    """The program runs, says so, and ends; calls that wait fail then."""
    outcome = ours(
        CONTAINER
        + """
from peerage.asab.zookeeper import container
container._SILENCE = 0.1
app = make(config={"servers": "127.0.0.1:1"})
class Told(logging.Handler):
    def emit(self, record):
        if "No connection" in record.getMessage():
            app.stop()
logging.getLogger("peerage.asab.zookeeper").addHandler(Told())
async def main():
    say(app.container.is_connected())
    try:
        await app.container.get_children()
    except Exception as error:
        say(type(error).__name__)
async def call():
    await asyncio.sleep(0)
    await main()
async def finalize():
    app.call.cancel()
async def start():
    app.call = asyncio.create_task(call())
app.main, app.finalize = start, finalize
say(app.run())
""",
        **on(zookeeper),
    )
    assert outcome.seen == (0, ["False", "0"]), outcome.log
    assert "No connection to zookeeper://127.0.0.1:1/" in outcome.log
