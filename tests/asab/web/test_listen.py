"""The row ``WebContainer``: the forms of ``listen``."""

import socket

import pytest
from tests.asab.both import both, ours, theirs
from tests.asab.web.programs import SERVE

LISTEN = [
    "127.0.0.1 0",
    "127.0.0.1:0",
    "0.0.0.0 0",
    "0",
    "::1 0",
    "127.0.0.1 0\n::1 0",
    "\n  127.0.0.1 0\n\n  127.0.0.1 0\n",
    "localhost 0",
]


@pytest.mark.parametrize("listen", LISTEN)
def test_listen(listen):
    """All documented forms: where they are bound, and the ports as configured."""
    outcome = both(
        SERVE
        + f"""
app = make({{"listen": {listen!r}}})
async def main():
    await until_started(app.container)
    say(app.container.get_ports())
    # The original repeats addresses and doesn't keep their order.
    say(sorted({{(address[0], len(address)) for address in app.container.Addresses}}))
    say(all(address[1] for address in app.container.Addresses))
    app.stop()
app.main = main
app.run()
"""
    )
    assert outcome.lines[-1] == "True"


@pytest.mark.parametrize(
    ("listen", "addresses"),
    [
        ("[::1]:0", "[('::1', 4)]"),
        ("[::1] 0", "[('::1', 4)]"),
        ("127.0.0.1:0\n127.0.0.1:0", "[('127.0.0.1', 2), ('127.0.0.1', 2)]"),
        ("0", "[('0.0.0.0', 2), ('::', 4)]"),
    ],
)
def test_each_address_once(listen, addresses):
    """In the order of the lines; IPv6 addresses may be in brackets."""
    outcome = ours(
        SERVE
        + f"""
app = make({{"listen": {listen!r}}})
async def main():
    say([(address[0], len(address)) for address in app.container.Addresses])
    app.stop()
app.main = main
app.run()
"""
    )
    assert outcome.lines == [addresses], outcome.log


@pytest.mark.parametrize(
    ("listen", "complaint"),
    [
        ("8080 tls", "Unknown listen parameter in section [web]: tls. After the port there may be ssl"),
        ("0.0.0.0 8080 ssl:x y", "Unknown listen parameter in section [web]: y"),
        ("0.0.0.0", "[web] listen=0.0.0.0: write a port from 0 to 65535, or an address and a port"),
        ("0.0.0.0 http", "[web] listen=0.0.0.0 http: write a port from 0 to 65535, or an address and a port"),
        ("0.0.0.0:http", "[web] listen=0.0.0.0:http: write a port from 0 to 65535"),
        ("65536", "[web] listen=65536: write a port from 0 to 65535"),
        ("[::1]", "[web] listen=[::1]: write a port"),
    ],
)
def test_a_line_that_cant_be_understood(listen, complaint):
    """The constructor raises a RuntimeError that names the correct form."""
    outcome = ours(
        SERVE
        + f"""
try:
    make({{"listen": {listen!r}}})
except RuntimeError as error:
    say(error)
os._exit(0)
"""
    )
    assert outcome.out.startswith(complaint), outcome.log


def test_an_unknown_parameter_is_a_runtime_error():
    """In the original, too."""
    outcome = both(
        SERVE
        + """
try:
    make({"listen": "0.0.0.0 8080 tls"})
except RuntimeError as error:
    say(str(error).split(":")[0])
os._exit(0)
"""
    )
    assert outcome.lines == ["Unknown listen parameter in section [web]"]


@pytest.fixture
def taken():
    """A port on which another socket listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("lines", ["127.0.0.1 {}", "127.0.0.1 0\n127.0.0.1 {}"])
def test_a_port_in_use_ends_the_application(taken, lines):
    """The exit code is 1, the log names the port, and everything is finalized."""
    outcome = ours(
        SERVE
        + f"""
app = make({{"listen": {lines.format(taken)!r}}})
async def finalize(): say("finalize")
async def main(): say("main")
app.finalize, app.main = finalize, main
app.run()
"""
    )
    assert outcome.seen == (1, ["finalize"])
    said = f"WebContainer [web] can't start: [web] listen: port {taken} of 127.0.0.1 is in use. Stop the "
    assert said in outcome.log
    assert "Traceback" not in outcome.log


def test_a_port_in_use_ends_the_application_later(taken):
    """When the container is made while it runs."""
    outcome = ours(
        SERVE
        + f"""
class App(asab.Application):
    async def main(self):
        asab.web.create_web_server(self, config={{"listen": "127.0.0.1 {taken}"}})
        await asyncio.Event().wait()
App(args=[]).run()
"""
    )
    assert outcome.code == 1
    assert "is in use" in outcome.log


@pytest.mark.parametrize("lines", ["0.0.0.0 {0}\n127.0.0.1 {0}", "127.0.0.1 {0}\n127.0.0.1 {0}"])
def test_a_port_of_two_lines(lines):
    """The first line listens; the second is logged, and the application runs, as in the original."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    program = f"""
app = make({{"listen": {lines.format(free)!r}}})
async def main():
    while not app.container.Addresses: await asyncio.sleep(0.01)
    say(len(set(app.container.Addresses)))
    app.stop()
app.main = main
app.run()
"""
    outcome = ours(SERVE + program)
    assert outcome.seen == (0, ["1"]), outcome.log
    assert f"listen=127.0.0.1 {free} can't be bound: an earlier line listens there" in outcome.log
    assert theirs(SERVE + program).seen == outcome.seen


def test_no_line_could_be_bound():
    """The application exits with a clear message; if one line is bound, it runs."""
    program = """
app = make({"listen": LINES})
async def main():
    say(len(app.container.Addresses))
    app.stop()
app.main = main
app.run()
"""
    none = ours(SERVE + "LINES = '::1%nowhere 0\\na..b 0'" + program)
    assert none.seen == (1, [])
    assert "no line could be bound; the log has the reason for each" in none.log
    assert "listen=::1%nowhere 0 can't be bound" in none.log
    one = ours(SERVE + "LINES = '::1%nowhere 0\\n127.0.0.1 0'" + program)
    assert one.seen == (0, ["1"])
    assert "listen=::1%nowhere 0 can't be bound" in one.log


@pytest.mark.parametrize(
    "failing",
    [
        "raise OSError(97, 'no such family')",
        "raise socket.gaierror(-9, 'no such family')",
        # Up to Python 3.12, asyncio says nothing.
        "server = await create_server(factory, '127.0.0.1', 0); server.close(); return server",
    ],
)
def test_a_bare_port_without_ipv6(failing):
    """Is served on IPv4, with a warning."""
    outcome = ours(
        SERVE
        + f"""
import socket
app = make({{"listen": "0"}})
create_server = app.Loop.create_server
async def without_ipv6(factory, host=None, *args, **kwargs):
    if ":" in host:
        {failing}
    return await create_server(factory, host, *args, **kwargs)
app.Loop.create_server = without_ipv6
async def main():
    say([address[0] for address in app.container.Addresses])
    app.stop()
app.main = main
app.run()
"""
    )
    assert outcome.seen == (0, ["['0.0.0.0']"]), outcome.log
    assert "[web] listen=0 is served on IPv4 only" in outcome.log


def test_listening_nowhere():
    """A warning, as in the original."""
    outcome = ours(
        SERVE
        + """
app = make({"listen": ""})
async def main():
    say(app.container.Addresses, app.container.get_ports())
    app.stop()
app.main = main
app.run()
"""
    )
    assert outcome.seen == (0, ["[] []"]), outcome.log
    assert "[web] listen is empty" in outcome.log


def test_listening_while_initialize_waits():
    """``WebContainer.started!`` may be waited for in initialize()."""
    outcome = both(
        SERVE
        + """
app = make({"listen": "127.0.0.1 0"})
async def initialize():
    message_type, args, kwargs = await app.PubSub.message("WebContainer.started!")
    say(message_type, args[0] is app.container, app.container.Addresses is not None)
async def main():
    app.stop()
app.initialize, app.main = initialize, main
app.run()
"""
    )
    assert outcome.lines == ["WebContainer.started! True True"]


def test_it_listens_before_main():
    """In the original some time after."""
    outcome = ours(
        SERVE
        + """
app = make({"listen": "127.0.0.1 0"})
async def main():
    say(app.container.Addresses is not None)
    app.stop()
app.main = main
app.run()
"""
    )
    assert outcome.lines == ["True"], outcome.log
