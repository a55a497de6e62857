"""The rows ``ApiService`` and ``DiscoveryService``: what users do wrong, each with what it is answered."""

import pytest
from tests.asab.api.programs import LOOKER, SERVICE, on
from tests.asab.both import both, ours

#: ``attempt(function)`` prints how it fails.
ATTEMPT = """
def attempt(function):
    try:
        say(function())
    except Exception as error:
        say(type(error).__name__, error)
"""


def test_no_web_container():
    """initialize_web() without a section [web]: the original's error; with one, its container is made."""
    program = """
load("web", "zookeeper", "api")
app = asab.Application(args=[], modules=[asab.web.Module])
api = asab.api.ApiService(app)
try:
    api.initialize_web()
except RuntimeError as error:
    say(type(error).__name__)
asab.Config.add_defaults({"web": {"listen": "127.0.0.1 0"}})
api.initialize_web()
say(api.WebContainer is app.get_service("asab.WebService").Containers["web"])
"""
    assert both(program).lines == ["RuntimeError", "True"]


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("asab.api.ApiService(app).initialize_web()", "app.add_module(asab.web.Module)"),
        ("asab.api.ApiService(app).initialize_zookeeper()", "app.add_module(asab.zookeeper.Module)"),
        (
            "app.add_module(asab.web.Module) or asab.api.ApiService(app).initialize_web()",
            "There is no [web] section in the configuration: write one",
        ),
        ("[asab.api.ApiService(app) for _ in '12']", "There is a service 'asab.ApiService' already"),
        ("[app.add_module(asab.zookeeper.Module)] + [api.initialize_zookeeper() for _ in '12']", "once"),
        (
            (
                "app.add_module(asab.web.Module) or asab.Config.add_section('web') or "
                "[api.initialize_web() for _ in '12']"
            ),
            "call initialize_web() once",
        ),
    ],
)
def test_initialized_wrongly(mistake, message):
    """Each with what to do instead."""
    made = "api = asab.api.ApiService(app)" if mistake.count("api.") > mistake.count("asab.api.") else ""
    outcome = ours(
        f"""
load("web", "zookeeper", "api")
app = asab.Application(args=[])
{made}
{ATTEMPT}
attempt(lambda: {mistake})
""",
        PEERAGE_REGISTRY="memory:",
    )
    assert outcome.lines[0].startswith("RuntimeError ")
    assert message in outcome.lines[0]


def test_discovery_without_zookeeper():
    """None, as with the original, and what to do about it, once."""
    program = """
load("web", "zookeeper", "api")
asab.Config.add_defaults({"web": {"listen": "127.0.0.1 0"}})
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.web.Module])
        self.Api = asab.api.ApiService(self)
        self.Api.initialize_web()
        for _ in range(3):
            say(self.get_service("asab.DiscoveryService"))
    async def main(self):
        self.Api.update_discovery({"a": ["b"]})
        say(self.Api.attention_required({}, "c"))
        self.stop()
say(App().run())
"""
    outcome = both(program)
    assert outcome.lines == ["None", "None", "None", "c", "0"]
    assert outcome.log.count("call its initialize_zookeeper()") == 1


def test_services_that_may_be_missing_are_asked_for_in_silence():
    """A caller that probes for services gets no information."""
    outcome = ours("say(asab.Application(args=[]).get_service('asab.MetricsService'))")
    assert (outcome.lines, outcome.log) == (["None"], "")


@pytest.mark.parametrize("made", ["in __init__", "in main"])
def test_locate_before_the_registry_is_there(made):
    """After ready_timeout, a NotDiscoveredError that is a TimeoutError and names what to check."""
    outcome = ours(
        SERVICE
        + f"""
asab.Config.add_defaults({{
    "discovery": {{"ready_timeout": "100ms"}}, "zookeeper": {{"servers": "127.0.0.1:1"}},
}})
async def program(app):
    calls = [
        lambda: app.Discovery.locate(service_id="x"), app.Discovery.discover, app.Discovery.discover_raw,
        app.Discovery.get_advertised_instances, lambda: app.Discovery._locate({{"service_id": "x"}}),
    ]
    async def call():
        async with app.Discovery.session() as session:
            await session.get("http://x.service_id.asab/")
    for ask in (*calls, call):
        try:
            await ask()
        except asab.api.discovery.NotDiscoveredError as error:
            say(isinstance(error, TimeoutError), isinstance(error, RuntimeError), type(error).__name__)
            text = str(error)
    say(text)
class Late(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.zookeeper.Module])
async def late(app):
    api = asab.api.ApiService(app)
    api.initialize_zookeeper()
    app.Discovery = api.DiscoveryService
    await program(app)
run(*((program, Service()) if {made == "in __init__"} else (late, Late())))
""",
        SERVICE_ID="x",
    )
    assert outcome.code == 0, outcome.log
    assert outcome.lines[:6] == ["True True NotDiscoveredInTimeError"] * 6
    assert "The registry zookeeper://127.0.0.1:1/asab wasn't read within 0.1 s" in outcome.lines[6]
    assert outcome.lines[6].endswith(
        ": Connection refused. Check that it runs and that this process may read it, and servers and path in "
        "[zookeeper]; the time limit is ready_timeout in [discovery]."
    )


def discovery_with(option: str, shown: str) -> str:
    """Shows something of a container's discovery; its argument, if any, is that option of [discovery]."""
    return f"""
load("zookeeper")
if len(sys.argv) > 1:
    asab.Config.add_defaults({{"discovery": {{"{option}": sys.argv[1]}}}})
app = asab.Application(args=[], modules=[asab.zookeeper.Module])
try:
    container = asab.zookeeper.ZooKeeperContainer(app.get_service("asab.ZooKeeperService"))
    say({shown})
except ValueError as error:
    say(error)
"""


def test_the_time_limit():
    """[discovery] ready_timeout, else PEERAGE_READY_TIMEOUT, else a minute; nonsense is an error at once."""
    program = discovery_with("ready_timeout", "container.discovery.membership.ready_timeout")
    environ = {"PEERAGE_REGISTRY": "memory:"}
    assert ours(program, **environ).lines == ["60.0"]
    assert ours(program, PEERAGE_READY_TIMEOUT="1.5", **environ).lines == ["1.5"]
    assert ours(program, "2m", PEERAGE_READY_TIMEOUT="1.5", **environ).lines == ["120.0"]
    (line,) = ours(program, "soon", **environ).lines
    assert line.startswith("[discovery] ready_timeout or PEERAGE_READY_TIMEOUT: 'soon' isn't a duration")


def test_how_long_suspects_are_kept():
    """[discovery] suspect_seconds; nonsense is an error at once."""
    program = discovery_with("suspect_seconds", "getattr(container.discovery.directory.guard, '_keep', None)")
    environ = {"PEERAGE_REGISTRY": "memory:"}
    assert ours(program, **environ).lines == ["300.0"]
    assert ours(program, "1m", **environ).lines == ["60.0"]
    assert ours(program, "0", **environ).lines == ["None"]
    (line,) = ours(program, "soon", **environ).lines
    assert line.startswith("[discovery] suspect_seconds: 'soon' isn't a duration")


def test_the_networks_in_which_others_are_called():
    """[discovery] allowed_networks; nonsense is an error at once."""
    program = discovery_with(
        "allowed_networks",
        "*map(container.discovery.directory.networks.allows, ('10.1.1.1', '127.0.0.1', '169.254.169.254'))",
    )
    environ = {"PEERAGE_REGISTRY": "memory:"}
    assert ours(program, **environ).lines == ["True True False"]
    assert ours(program, " ", **environ).lines == ["True True False"]
    assert ours(program, "10.0.0.0/8\nfd00::/8", **environ).lines == ["True False False"]
    (line,) = ours(program, "intranet", **environ).lines
    assert line.startswith("allowed_networks can't be used: 'intranet'")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://asab/", "'asab' is no complete name: write <value>.<key>.asab"),
        ("http://a.asab/", "'a.asab' is no complete name: write <value>.<key>.asab"),
        ("http://unknown.service_id.asab/", "service_id='unknown' is among the 1 that are known"),
        ("http://me.service_id.asab/", "service_id='me' is known, but it can't be called"),
    ],
)
def test_names_that_lead_nowhere(zookeeper, url, message):
    """NotDiscoveredError reaches the caller as it is, from a session and from the resolver."""
    program = (
        SERVICE
        + """
class Worker(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.zookeeper.Module])
        self.Api = asab.api.ApiService(self)
        self.Api.initialize_zookeeper()
        self.Zk = self.Api.ZkContainer
async def program(app):
    await node_of(app)
    discovery = app.get_service("asab.DiscoveryService")
    await eventually(discovery.get_advertised_instances)
    resolver = asab.api.discovery.DiscoveryResolver(discovery)
    own = aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver))
    for session in (discovery.session(), own):
        async with session:
            try:
                await session.get(sys.argv[1])
            except asab.api.discovery.NotDiscoveredError as error:
                say("NotDiscoveredError", isinstance(error, RuntimeError))
                if OURS:
                    print(error, file=sys.stderr)
run(program, Worker())
"""
    )
    outcome = both(program, url, SERVICE_ID="me", INSTANCE_ID="me-1", **on(zookeeper))
    assert outcome.lines == ["NotDiscoveredError True"] * 2
    assert outcome.log.count(message) == 2, outcome.log


def test_an_empty_cluster(zookeeper):
    """Asked in an empty cluster: a warning that names what to compare, once for as long as it is so."""
    program = (
        LOOKER
        + """
async def program(app):
    for _ in range(3):
        say(await app.Discovery.locate(service_id="x"), await app.Discovery._locate({"service_id": "x"}))
    say(await app.Discovery.discover())
    say(await app.Discovery.get_advertised_instances())
run(program, Looker())
"""
    )
    outcome = both(program, **on(zookeeper))
    assert outcome.lines[-2:] == ["{'instance_id': {}, 'service_id': {}}", "[]"]
    assert outcome.log.count("No instances to discover. ") == 1
    assert "the servers and the path of [zookeeper]" in outcome.log
    assert f"zookeeper://{zookeeper.address}/" in outcome.log


def test_a_session_with_internal_authorization():
    """It is made at once; tokens come with the requests."""
    outcome = ours(
        SERVICE
        + """
async def program(app):
    await app.Discovery.session(auth="internal").close()
    say("made")
run(program, Service())
""",
        PEERAGE_REGISTRY="memory:",
        SERVICE_ID="x",
    )
    assert outcome.lines[0] == "made"
