"""The row ``ZooKeeperContainer``: its session, its states, what it advertises."""

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
    async with (
        Proxy(zookeeper.address) as proxy,
        running(program, environ={**on(zookeeper), "TEST_SERVERS": proxy.address}) as one,
    ):
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
    """The call raises the error, before and after the start, and the program continues."""
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
    async with Proxy(zookeeper.address) as proxy:
        environ = {**on(zookeeper), "TEST_SERVERS": proxy.address}
        async with running(program, environ=environ) as one:
            await one.line()
            assert await one.line() == "True"
            assert len(proxy.sessions) == 1
            url = f"zookeeper://{zookeeper.address}{environ['TEST_PATH']}-ours"
            async with Discovery(url) as other:
                await eventually(lambda: other.directory.find((("which", "one"),)))


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
    """The program runs, logs it, and ends; waiting calls fail then."""
    outcome = ours(
        CONTAINER
        + """
from peerage.asab.zookeeper import container
container.REPORT_AFTER = 0.1
app = make(config={"servers": "127.0.0.1:1"})
class Recorder(logging.Handler):
    def emit(self, record):
        if "No connection" in record.getMessage():
            app.stop()
logging.getLogger("peerage.asab.zookeeper").addHandler(Recorder())
async def call():
    say(app.container.is_connected())
    try:
        await app.container.get_children()
    except Exception as error:
        say(type(error).__name__)
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
