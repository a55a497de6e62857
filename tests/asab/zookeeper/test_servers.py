"""The row ``ZooKeeperContainer``: the sources of servers and path, and the errors for wrong ones."""

import pytest
from tests.asab.both import both, ours, theirs
from tests.asab.running import running
from tests.asab.zookeeper.programs import CONTAINER

from peerage.asab.config import Config
from peerage.asab.zookeeper.servers import choose

#: The sources of the configuration, by precedence.
SOURCES = ("z_path", "config", "section", "zookeeper", "ASAB_ZOOKEEPER_SERVERS", "PEERAGE_REGISTRY")

SERVERS = (
    f"SOURCES = {SOURCES}"
    """
load("zookeeper")
said, path = set(sys.argv[1].split()), sys.argv[2]
# A different port for each source of the configuration; no server is needed.
PORTS = {source: number for number, source in enumerate(SOURCES, 10001)}
servers = {source: f"127.0.0.1:{port}" if source in said else "" for source, port in PORTS.items()}
paths = {source: f"/of-{source}" if source == path else "" for source in PORTS}
asab.Config.add_defaults({
    "own": {"servers": servers["section"], "path": paths["section"]},
    "zookeeper": {"servers": servers["zookeeper"], "path": paths["zookeeper"]},
})
app = asab.Application(args=[], modules=[asab.zookeeper.Module])
z_path = f"zookeeper://{servers['z_path']}{paths['z_path']}" if {"z_path"} & {*said, path} else None
container = asab.zookeeper.ZooKeeperContainer(
    app.get_service("asab.ZooKeeperService"),
    "own",
    config={key: of["config"] for key, of in (("servers", servers), ("path", paths)) if of["config"]},
    z_path=z_path,
)
original = asab.__name__ == "asab"
say(container.Path, container.ZooKeeper.Client.hosts if original else container._nodes.registry.url)
os._exit(0)
"""
)


@pytest.mark.parametrize("first", range(6))
def test_servers(first):
    """A source counts only if all sources before it are empty."""
    said = SOURCES[first:]
    environ = {}
    if "PEERAGE_REGISTRY" in said:
        environ["PEERAGE_REGISTRY"] = "zookeeper://127.0.0.1:10006/asab"
    if "ASAB_ZOOKEEPER_SERVERS" in said:
        environ["ASAB_ZOOKEEPER_SERVERS"] = "127.0.0.1:10005"
    arguments = (" ".join(said), "")
    assert ours(SERVERS, *arguments, **environ).lines == [f"asab zookeeper://127.0.0.1:{10001 + first}/asab"]
    if first < 5:
        assert theirs(SERVERS, *arguments, **environ).lines == [f"asab [('127.0.0.1', {10001 + first})]"]


@pytest.mark.parametrize("source", ["z_path", "config", "section", "zookeeper"])
def test_path(source):
    """It comes from the same sources, independently of the servers."""
    arguments, environ = ("zookeeper", source), {"PEERAGE_REGISTRY": "zookeeper://127.0.0.1:1/other"}
    path = f"of-{source}"
    assert ours(SERVERS, *arguments).lines == [f"{path} zookeeper://127.0.0.1:10004/{path}"]
    assert theirs(SERVERS, *arguments).lines == [f"{path} [('127.0.0.1', 10004)]"]
    assert ours(SERVERS, "", source, **environ).lines == [f"{path} zookeeper://127.0.0.1:1/{path}"]


@pytest.fixture
def settings(monkeypatch):
    """Only what a test configures is configured."""
    monkeypatch.delenv("ASAB_ZOOKEEPER_SERVERS", raising=False)
    monkeypatch.setattr(Config, "get", lambda *_, fallback: fallback)
    return {"servers": "", "path": ""}


@pytest.mark.parametrize(
    ("url", "path", "chosen"),
    [
        ("zookeeper://a/b?acl=open", "", ("zookeeper://a/b?acl=open", "b")),
        ("zookeeper://a", "", ("zookeeper://a", "asab")),
        ("zookeeper://a/", "", ("zookeeper://a/", "")),
        ("zookeeper://u:p%2Fq@a/b%20c", "", ("zookeeper://u:p%2Fq@a/b%20c", "b c")),
        ("zookeeper+tls://u:p@a/b?ca=/x", "/c d/", ("zookeeper+tls://u:p@a/c%20d?ca=/x", "c d")),
        ("zookeeper://a?acl=open", "/", ("zookeeper://a/?acl=open", "")),
        ("embedded:", "", ("embedded:", "asab")),
        ("embedded:", "asab", ("embedded:", "asab")),
        ("embedded:///x?path=/y", "", ("embedded:///x?path=/y", "y")),
        ("embedded:///x?path=/y", "/z", ("embedded:///x?path=/z", "z")),
        ("memory:m", "", ("memory:m", "asab")),
        ("memory:m", "z", ("memory:m", "z")),
    ],
)
def test_a_registry_and_a_path(settings, monkeypatch, url, path, chosen):
    """PEERAGE_REGISTRY is a whole URL; a configured path replaces the path of the URL."""
    monkeypatch.setenv("PEERAGE_REGISTRY", url)
    choice = choose({**settings, "path": path}, None)
    assert (choice.url, choice.path) == chosen
    assert choice.configured


@pytest.mark.parametrize(
    ("servers", "path", "chosen"),
    [
        ("a", "", ("zookeeper://a/asab", "asab", "")),
        ("a:1, b:2,\n c:3,", "/x/", ("zookeeper://a:1,b:2,c:3/x", "x", "")),
        ("\na:1\nb:2 c:3\n", " x ", ("zookeeper://a:1,b:2,c:3/x", "x", "")),
        ("a:1,b:2/root/of", "/x", ("zookeeper://a:1,b:2/root/of/x", "x", "/root/of")),
        ("a/", "/", ("zookeeper://a/", "", "")),
        ("[::1]:2181", "x y", ("zookeeper://[::1]:2181/x%20y", "x y", "")),
    ],
)
def test_servers_as_kazoo_has_them(settings, servers, path, chosen):
    """Several, with space between them and a chroot behind them."""
    choice = choose({"servers": servers, "path": path}, None)
    assert (choice.url, choice.path, choice.chroot) == chosen


@pytest.mark.parametrize(
    ("z_path", "chosen"),
    [
        ("zookeeper+tls://a:1/x", ("zookeeper+tls://a:1/x", "x")),
        ("zookeeper+tls://a:1?ca=/y", ("zookeeper+tls://a:1/asab?ca=/y", "asab")),
        ("zookeeper://u:p%40q@a/x?auth=sasl", ("zookeeper://u:p%40q@a/x?auth=sasl", "x")),
        ("//a/x", ("zookeeper://a/x", "x")),
        (" zk://a/x ", ("zookeeper://a/x", "x")),
    ],
)
def test_what_a_z_path_says(settings, z_path, chosen):
    """TLS, credentials and options aren't silently left out."""
    choice = choose(settings, z_path)
    assert (choice.url, choice.path) == chosen


def test_a_z_path_that_cannot_be():
    """The error names the section."""
    outcome = ours(CONTAINER + "make(z_path='zookeeper://u:hush@[::1/x')")
    assert outcome.code == 1
    assert "ConfigurationError: Servers and path of ZooKeeper, as configured for [zookeeper]" in outcome.log
    assert "hush" not in outcome.log.splitlines()[-1]


def test_space_is_no_server(settings, monkeypatch):
    """Empty counts as missing, however it is written."""
    for name in ("ASAB_ZOOKEEPER_SERVERS", "PEERAGE_REGISTRY"):
        monkeypatch.setenv(name, " ")
    assert choose({"servers": " \n", "path": " "}, " ") == ("embedded:", "asab", "", False)


def test_no_servers():
    """The original exits; this layer uses the registry of this machine, with one warning."""
    program = (
        CONTAINER
        + """
app = make()
service = app.get_service("asab.ZooKeeperService")
asab.zookeeper.ZooKeeperContainer(service, "other")
say(app.container.Path)
"""
    )
    assert theirs(program).code == 1
    outcome = ours(program)
    assert outcome.seen == (0, ["asab"])
    (line,) = [line for line in outcome.log.splitlines() if " WARNING peerage." in line]
    assert "No ZooKeeper servers are configured" in line
    assert "Set servers in [zookeeper], ASAB_ZOOKEEPER_SERVERS or PEERAGE_REGISTRY" in line


def test_embedded_if_asked_for():
    """Then there is no warning."""
    outcome = ours(CONTAINER + "make()", PEERAGE_REGISTRY="embedded:")
    assert " WARNING peerage." not in outcome.log


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ("http://zk-1:2181", "Host 1"),
        ("zk-1:2181;zk-2:2181", "Host 1"),
        ("zk-1:99999", "port of host 1"),
    ],
)
def test_servers_that_cannot_be(servers, message):
    """The program ends with the name of the section and what to write."""
    outcome = ours(CONTAINER + f"make(config={{'servers': {servers!r}}})")
    assert outcome.code == 1
    assert "ConfigurationError: Servers and path of ZooKeeper, as configured for [zookeeper]" in outcome.log
    assert message in outcome.log


def test_two_services_of_one_name():
    """As with every service; the module is added once only."""
    outcome = both(
        """
load("zookeeper")
app = asab.Application(args=[], modules=[asab.zookeeper.Module, asab.zookeeper.Module])
from importlib import import_module
service = import_module(f"{asab.__name__}.zookeeper.service")
try:
    service.ZooKeeperService(app, "asab.ZooKeeperService")
except RuntimeError as error:
    say(type(error).__name__, "already" in str(error))
os._exit(0)
"""
    )
    assert outcome.lines == ["RuntimeError True"]


async def test_without_the_package_for_zookeeper():
    """A ModuleNotFoundError with the pip line; the registry of this machine needs none."""
    program = """
sys.modules["kazoo"] = None
app = asab.Application(args=[], modules=[asab.zookeeper.Module])
for config in ({"servers": "zk-1"}, {}):
    try:
        asab.zookeeper.ZooKeeperContainer(app.get_service("asab.ZooKeeperService"), config=config)
    except ModuleNotFoundError as error:
        say(error)
    else:
        say("made")
"""
    async with running(program) as one:
        code, (error, made) = await one.end()
    assert code == 0, one.log
    assert error.endswith("pip install 'peerage[zookeeper]'")
    assert made == "made"
