"""The rows ``asab.web.Module``, ``WebContainer``, ``create_web_server``."""

import socket
import ssl

import pytest
import trustme
from tests.asab.both import both, ours
from tests.asab.web.programs import SERVE


def test_the_documented_program():
    """The web module, the service, a container, its router; ``WebApp["app"]`` is the application."""
    outcome = both(
        SERVE
        + """
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[])
        self.add_module(asab.web.Module)
        service = self.get_service("asab.WebService")
        self.container = asab.web.WebContainer(service, "web", config={"listen": "127.0.0.1 0"})
        self.container.WebApp.router.add_get("/hello", self.hello)
        say(self.container.Addresses, service.Containers["web"] is self.container)
        say(isinstance(self.container.WebApp, aiohttp.web.Application))
        self.PubSub.subscribe("WebContainer.started!", self.started)
        self.PubSub.subscribe("WebContainer.stopped!", self.started)
    def started(self, message_type, container):
        say(message_type, container is self.container)
    async def main(self):
        await until_started(self.container)
        (address, port), = self.container.Addresses
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{address}:{port}/hello") as response:
                await show(response)
        self.stop()
    async def hello(self, request):
        say(request.app["app"] is self)
        return asab.web.rest.json_response(request, {"message": "Hello"})
App().run()
"""
    )
    assert outcome.lines[0] == "None True"
    assert outcome.lines[-1] == "WebContainer.stopped! True"


def test_create_web_server():
    """The router of a container, also in initialize(); with settings of the program's and another section."""
    outcome = both(
        SERVE
        + """
asab.Config.add_defaults({"mine": {"listen": "127.0.0.1 0"}})
class App(asab.Application):
    async def initialize(self):
        router = asab.web.create_web_server(self, "mine", config={"servertokens": "full"})
        router.add_get("/hello", self.hello)
        say(type(router).__name__)
    async def main(self):
        container = self.get_service("asab.WebService").Containers["mine"]
        await until_started(container)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{container.Addresses[0][1]}/hello") as response:
                await show(response)
        self.stop()
    async def hello(self, request):
        return aiohttp.web.Response(text="Hello")
App(args=[]).run()
"""
    )
    assert outcome.lines == ["UrlDispatcher", "200 text/plain 'Hello'"]


def test_create_web_server_by_default():
    """The section [web] and its documented address."""
    both(
        SERVE
        + """
app = asab.Application(args=[])
say(type(asab.web.create_web_server(app)).__name__)
container = app.get_service("asab.WebService").Containers["web"]
say(container.get_ports(), container.Config["listen"], container.BackLog, container.CORS)
say({key: str(value) for key, value in container.Config.items()})
os._exit(0)
"""
    )


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
    """In the order of the lines; IPv6 addresses may stand in brackets."""
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
        ("0.0.0.0", "[web] listen=0.0.0.0: write a port, or an address and a port"),
        ("0.0.0.0 http", "[web] listen=0.0.0.0 http: write a port, or an address and a port"),
        ("0.0.0.0:http", "[web] listen=0.0.0.0:http: http is no port, they are 1 to 65535"),
        ("65536", "[web] listen=65536: 65536 is no port"),
        ("[::1]", "[web] listen=[::1]: write a port"),
    ],
)
def test_a_line_that_cant_be_understood(listen, complaint):
    """A RuntimeError of the constructor that says what to write."""
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
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("lines", ["127.0.0.1 {}", "127.0.0.1 0\n127.0.0.1 {}"])
def test_a_port_in_use_ends_the_application(taken, lines):
    """Exit code 1, and the log says which; the rest is finalized."""
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
    said = f"WebContainer [web] can't start: [web] listen: port {taken} of 127.0.0.1 is in use. Stop what "
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


def test_no_line_could_be_bound():
    """Exit with a clear message; with one that could, it goes on."""
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
    assert "none of its lines could be bound; the log says why for each" in none.log
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


def test_several_containers():
    """Each with a section, an application and ports of its own."""
    outcome = both(
        SERVE
        + """
asab.Config.add_defaults({"one": {"listen": "127.0.0.1 0"}, "two": {"listen": "127.0.0.1 0"}})
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.web.Module])
        service = self.get_service("asab.WebService")
        for name in ("one", "two"):
            async def who(request, name=name):
                return aiohttp.web.Response(text=name)
            asab.web.WebContainer(service, name).WebApp.router.add_get("/", who)
        say(sorted(service.Containers))
    async def main(self):
        containers = self.get_service("asab.WebService").Containers
        async with aiohttp.ClientSession() as session:
            for name, container in containers.items():
                await until_started(container)
                async with session.get(f"http://127.0.0.1:{container.Addresses[0][1]}/") as response:
                    say(name, await response.text())
        self.stop()
App().run()
"""
    )
    assert outcome.lines == ["['one', 'two']", "one one", "two two"]


def test_the_container_of_web():
    """``WebService.WebContainer`` is that of [web], made if missing; no such section is a RuntimeError."""
    outcome = both(
        SERVE
        + """
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.web.Module])
        service = self.get_service("asab.WebService")
        try:
            service.WebContainer
        except RuntimeError as error:
            say("RuntimeError")
            print(error, file=sys.stderr)
        asab.Config.add_defaults({"web": {"listen": "127.0.0.1 0"}})
        container = service.WebContainer
        say(service.WebContainer is container, service.WebApp is container.WebApp)
App()
os._exit(0)
"""
    )
    assert outcome.lines == ["RuntimeError", "True True"]
    assert "There is no [web] section in the configuration: write one, with listen=" in outcome.log


def test_the_former_section():
    """[asab:web] serves if there is no [web]."""
    both(
        SERVE
        + """
asab.Config.add_defaults({"asab:web": {"listen": "127.0.0.1 0"}})
app = asab.Application(args=[], modules=[asab.web.Module])
say(app.get_service("asab.WebService").WebContainer.get_ports())
os._exit(0)
"""
    )


@pytest.mark.parametrize("size", [1000, 1001])
def test_body_max_size(size):
    """A larger body is 413."""
    outcome = both(
        SERVE
        + f"""
async def echo(request):
    return aiohttp.web.Response(text=str(len(await request.read())))
async def program(app, session):
    async with session.post("/", data=b"x" * {size}) as response:
        say(response.status)
config = {{"listen": "127.0.0.1 0", "body_max_size": "1000"}}
serve(program, config, routes=lambda webapp: webapp.router.add_post("/", echo))
"""
    )
    assert outcome.lines == ["200" if size <= 1000 else "413"]


def test_backlog():
    """How many connections may wait to be taken: 128, or what is configured."""
    outcome = both(
        SERVE
        + """
asab.Config.add_defaults({"few": {"backlog": "7"}})
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.web.Module])
        service = self.get_service("asab.WebService")
        self.waiting, self.create_server = {}, self.Loop.create_server
        self.Loop.create_server = self.listen
        for section in ("web", "few"):
            asab.web.WebContainer(service, section, config={"listen": "127.0.0.1 0"})
    async def listen(self, *args, **kwargs):
        server = await self.create_server(*args, **kwargs)
        self.waiting[server.sockets[0].getsockname()[1]] = kwargs["backlog"]
        return server
    async def main(self):
        for section, container in self.get_service("asab.WebService").Containers.items():
            await until_started(container)
            say(section, container.BackLog, self.waiting[container.Addresses[0][1]])
        self.stop()
App().run()
"""
    )
    assert outcome.lines == ["web 128 128", "few 7 7"]


def test_servertokens():
    """All about the software by default, next to nothing with 'prod'."""
    program = """
async def program(app, session):
    async with session.get("/") as response:
        say(response.status, response.headers["Server"])
serve(program, {"listen": "127.0.0.1 0", "servertokens": TOKENS})
"""
    full = ours(SERVE + "TOKENS = 'full'" + program).lines[0]
    assert full.startswith("404 Python/")
    assert " aiohttp/" in full
    assert " peerage/" in full
    assert ours(SERVE + "TOKENS = 'prod'" + program).lines == ["404 peerage"]


@pytest.mark.parametrize("cors", ["", "*"])
def test_cors(cors):
    """Headers of each answer, and answers to preflight requests on the configured paths."""
    outcome = both(
        SERVE
        + f"""
HEADERS = [f"Access-Control-{{name}}" for name in (
    "Allow-Origin", "Allow-Methods", "Allow-Headers", "Allow-Credentials", "Max-Age")]
async def program(app, session):
    for method, path in (("GET", "/nowhere"), ("OPTIONS", "/a"), ("OPTIONS", "/b/c/d"), ("OPTIONS", "/x")):
        async with session.request(method, path, headers={{"Origin": "http://here"}}) as response:
            say(method, path, response.status, *[response.headers.get(name) for name in HEADERS])
config = {{"listen": "127.0.0.1 0", "cors": {cors!r}, "cors_preflight_paths": "/a,\\n  /b/*"}}
serve(program, config)
"""
    )
    assert len(outcome.lines) == 4


@pytest.mark.parametrize("exists", [True, False])
def test_rootdir(tmp_path, exists):
    """The files and folders of a folder, its index at the root; ``WebApp["rootdir"]``."""
    root = tmp_path / "root"
    if exists:
        (root / "static").mkdir(parents=True)
        (root / "index.html").write_text("<p>index</p>")
        (root / "a.txt").write_text("a")
        (root / ".hidden").write_text("hidden")
        (root / "static/b.txt").write_text("b")
    both(
        SERVE
        + f"""
async def program(app, session):
    for path in ("/", "/index.html", "/a.txt", "/static/b.txt", "/static/../../x", "/.hidden", "/nowhere"):
        async with session.get(path) as response:
            say(path, response.status, repr(await response.text()) if response.status == 200 else "")
    say(app.container.WebApp["rootdir"].Path == {str(root)!r})
serve(program, {{"listen": "127.0.0.1 0", "rootdir": {str(root)!r}}})
"""
    )


def test_routes_added_by_services_are_served():
    """Until services are initialized, and initialize() waits for the first time, routes may be added."""
    outcome = both(
        SERVE
        + """
async def who(request): return aiohttp.web.Response(text=request.path)
class S(asab.Service):
    async def initialize(self, app):
        await asyncio.sleep(0.05)
        app.container.WebApp.router.add_get("/service", who)
app = make({"listen": "127.0.0.1 0"})
S(app, "mine")
async def initialize():
    app.container.WebApp.router.add_get("/application", who)
    await asyncio.sleep(0)
async def main():
    await until_started(app.container)
    async with aiohttp.ClientSession() as session:
        for path in ("service", "application"):
            async with session.get(f"http://127.0.0.1:{app.container.Addresses[0][1]}/{path}") as response:
                say(response.status)
    app.stop()
app.initialize, app.main = initialize, main
app.run()
"""
    )
    assert outcome.lines == ["200", "200"]


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


def test_the_request_is_in_the_context():
    """``asab.contextvars.Request``, in the handler and the user's middlewares."""
    outcome = both(
        SERVE
        + """
load("contextvars")
Request = asab.contextvars.Request
@aiohttp.web.middleware
async def outside(request, handler):
    say("middleware", Request.get() is request)
    return await handler(request)
async def handle(request):
    say("handler", Request.get() is request)
    raise aiohttp.web.HTTPNoContent
async def program(app, session):
    async with session.get("/") as response:
        say(response.status)
    say(Request.get(None))
def routes(webapp):
    webapp.middlewares.append(outside)
    webapp.router.add_get("/", handle)
serve(program, routes=routes)
"""
    )
    assert outcome.lines == ["middleware True", "handler True", "204", "None"]


def test_the_access_log():
    """One line for each request, and nothing in it that isn't one line."""
    outcome = ours(
        SERVE
        + """
async def program(app, session):
    async with session.get("/a%0Ab?token=secret", headers={"User-Agent": "me", "X-Forwarded-For": "1.2.3.4"}):
        pass
serve(program)
"""
    )
    (line,) = [line for line in outcome.log.splitlines() if "asab.web.al" in line]
    assert 'al.m="GET" al.p="/a%0Ab" al.c="404"' in line
    assert 'al.A="me" Ix="1.2.3.4"' in line
    assert "secret" not in outcome.log


def test_misdirected_requests_are_refused():
    """By mark, before anything of the program's sees them."""
    outcome = ours(
        SERVE
        + """
async def handle(request):
    say("handled", request.host)
    return aiohttp.web.Response()
async def program(app, session):
    app.get_service("asab.WebService").own_ids.claim("test", lambda: {"shard": [1]})
    for host in ("orders.service_id.asab", "1.shard.asab", "here", "billing.service_id.asab", "2.shard.asab"):
        async with session.post("/", headers={"Host": host}) as response:
            say(response.status, response.headers.get("Peerage-Misdirected"))
serve(program, routes=lambda webapp: webapp.router.add_post("/", handle))
""",
        SERVICE_ID="orders",
    )
    assert outcome.lines == [
        *("handled orders.service_id.asab", "200 None", "handled 1.shard.asab", "200 None"),
        *("handled here", "200 None", "421 1", "421 1"),
    ], outcome.log


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A certificate authority, a certificate of it with an encrypted and a plain key."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    with (folder / "cert.pem").open("wb") as file:
        for blob in certificate.cert_chain_pems:
            file.write(blob.bytes())
    return folder


#: How TLS may be configured; *web* is the container's section, *more* another one.
TLS = {
    "in the section itself": ("127.0.0.1 0 ssl", {"cert": "cert.pem", "key": "key.pem"}, {}),
    "in one file": ("127.0.0.1:0 ssl", {"cert": "both.pem"}, {}),
    "in a section of its own": ("127.0.0.1 0 ssl:more", {}, {"cert": "cert.pem", "key": "key.pem"}),
    "with ciphers": (
        "127.0.0.1 0 ssl",
        {"cert": "both.pem", "ciphers": "ECDHE+AESGCM", "verify_mode": "cert_none"},
        {},
    ),
}


@pytest.mark.parametrize("name", TLS)
def test_tls(certificates, tmp_path, name):
    """``ssl`` and ``ssl:SECTION``."""
    listen, web, more = TLS[name]
    files = {"cert", "key", "cafile"}

    def section(values):
        return "".join(
            f"{key} = {certificates / value if key in files else value}\n" for key, value in values.items()
        )

    config = tmp_path / "a.conf"
    config.write_text(f"[web]\nlisten = {listen}\n{section(web)}[ssl:more]\n{section(more)}")
    outcome = (both if listen != "127.0.0.1:0 ssl" else ours)(
        SERVE
        + f"""
import ssl
context = ssl.create_default_context(cafile={str(certificates / "ca.pem")!r})
app = make(None, sys.argv[1:])
async def main():
    await until_started(app.container)
    async with aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{{app.container.Addresses[0][1]}}/"
        async with session.get(url, ssl=context) as response:
            say(response.status)
    app.stop()
app.main = main
app.run()
""",
        "-c",
        str(config),
    )
    assert outcome.lines == ["404"], outcome.log


@pytest.mark.parametrize(
    ("web", "complaint"),
    [
        ({"cert": "/nowhere.pem"}, "[web] cert=/nowhere.pem can't be used: "),
        (
            {"cert": "both.pem", "verify_mode": "maybe"},
            "verify_mode=maybe can't be used: write one of CERT_NONE, ",
        ),
        ({"cert": "both.pem", "ciphers": "none of these"}, "[web] ciphers=none of these can't be used: "),
        ({"cert": "both.pem", "cafile": "/nowhere.pem"}, "[web] cafile=/nowhere.pem can't be used: "),
        ({"cert": "both.pem", "dh_params": "/nowhere.pem"}, "[web] dh_params=/nowhere.pem can't be used: "),
    ],
)
def test_tls_configured_wrongly(certificates, web, complaint):
    """Says which setting, and why."""
    config = {key: str(certificates / value) if value == "both.pem" else value for key, value in web.items()}
    outcome = ours(SERVE + f"make({{'listen': '0 ssl', 'key_password': 'secret', **{config!r}}})")
    assert outcome.code == 1
    assert complaint in outcome.log
    assert "secret" not in outcome.log.splitlines()[-1]


def test_an_encrypted_key(certificates):
    """``key_password``; a wrong one is an error, never a question on the terminal."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((certificates / "key.pem").read_bytes(), None)
    (certificates / "locked.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    program = f"""
for password in ("password", "another", ""):
    config = {{"cert": {str(certificates / "cert.pem")!r}, "key": {str(certificates / "locked.pem")!r}}}
    try:
        load("tls")
        asab.tls.SSLContextBuilder("x", config={{**config, "key_password": password}}).build()
        say("right")
    except Exception as error:
        say("wrong", password in str(error) if password else "")
"""
    assert ours(program).lines == ["right", "wrong False", "wrong "]


@pytest.mark.parametrize("authorities", ["cafile", "cadata"])
def test_client_certificates(certificates, authorities):
    """``verify_mode``, and whose certificates are taken; the same builder for calling."""
    places = {
        "cafile": str(certificates / "ca.pem"),
        "cadata": (certificates / "ca.pem").read_text(),
    }
    outcome = both(
        SERVE
        + f"""
import ssl
load("tls")
cert = {{"cert": {str(certificates / "both.pem")!r}, "key": {str(certificates / "key.pem")!r}}}
server = {{**cert, {authorities!r}: {places[authorities]!r}, "verify_mode": "CERT_REQUIRED"}}
client = {{**cert, "cafile": {places["cafile"]!r}}}
app = make({{"listen": "127.0.0.1 0 ssl", **server}})
async def main():
    await until_started(app.container)
    url = f"https://127.0.0.1:{{app.container.Addresses[0][1]}}/"
    build = asab.tls.SSLContextBuilder("client", config=client).build
    async with aiohttp.ClientSession() as session:
        async with session.get(url, ssl=build(protocol=ssl.PROTOCOL_TLS_CLIENT)) as response:
            say(response.status)
        try:
            await session.get(url, ssl=ssl.create_default_context(cafile=client["cafile"]))
        except aiohttp.ClientError:
            say("refused")
    app.stop()
app.main = main
app.run()
"""
    )
    assert outcome.lines == ["404", "refused"], outcome.log
    assert ssl.HAS_TLSv1_3


def test_the_extra_isnt_needed_for_web():
    """It is for schemas; its absence says the pip line."""
    outcome = ours(
        SERVE
        + """
sys.modules["fastjsonschema"] = None
try:
    asab.web.rest.json_schema_handler({})
except ModuleNotFoundError as error:
    say(error)
"""
    )
    assert outcome.lines == [
        "json_schema_handler() needs the package fastjsonschema: pip install 'peerage[asab]'"
    ], outcome.log
