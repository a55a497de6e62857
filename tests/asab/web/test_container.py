"""The rows ``asab.web.Module``, ``WebContainer``, ``create_web_server``."""

import pytest
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
say(container.get_ports(), container.Config["listen"], container.BackLog)
say({key: str(container.Config[key]) for key in ("backlog", "servertokens", "body_max_size")})
os._exit(0)
"""
    )


def test_several_containers():
    """Each has its own section, application and ports."""
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


@pytest.mark.parametrize("option", ["cors", "rootdir"])
def test_an_option_that_only_the_real_asab_has_is_an_error(option):
    """The error names the option, its section and the way to use it."""
    outcome = ours(
        SERVE
        + f"""
try:
    make({{"listen": "127.0.0.1 0", {option!r}: "x"}})
except ValueError as error:
    say(error)
"""
    )
    assert outcome.lines[0].endswith("see docs/asab-inside.md."), outcome.log
    assert f"] {option}=x: peerage.asab has no such option" in outcome.lines[0]


def test_routes_added_by_services_are_served():
    """Until services are initialized, and initialize() waits for the first time, routes may be added."""
    outcome = both(
        SERVE
        + """
async def who(request): return aiohttp.web.Response(text=request.path)
class S(asab.Service):
    async def initialize(self, app):
        await asyncio.to_thread(lambda: None)
        app.container.WebApp.router.add_get("/service", who)
app = make({"listen": "127.0.0.1 0"})
S(app, "mine")
async def initialize():
    app.container.WebApp.router.add_get("/application", who)
    await asyncio.to_thread(lambda: None)
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


def test_no_client_forges_fields_of_the_access_log():
    """Quotes, and characters that a terminal obeys, are escaped."""
    outcome = ours(
        SERVE
        + """
async def program(app, session):
    headers = {"User-Agent": 'me" al.c="200', "X-Forwarded-For": "\\u009b2J\\u202e"}
    async with session.get("/", headers=headers):
        pass
serve(program)
"""
    )
    (line,) = [line for line in outcome.log.splitlines() if "asab.web.al" in line]
    assert r'al.A="me\" al.c=\"200"' in line
    assert r'Ix="\x9b2J\u202e"' in line


def test_a_container_without_discovery_refuses_no_request():
    """A process without a registry is found by other means."""
    outcome = ours(
        SERVE
        + """
async def handle(request):
    return aiohttp.web.Response()
async def program(app, session):
    dialled = f"Dead.0000000001 127.0.0.1:{app.container.Addresses[0][1]}"
    headers = {"Host": "a.service_id.asab", "Peerage-Dialled": dialled}
    async with session.post("/", headers=headers) as response:
        say(response.status)
serve(program, routes=lambda webapp: webapp.router.add_post("/", handle))
""",
        SERVICE_ID="orders",
    )
    assert outcome.lines == ["200"], outcome.log


def test_deadlines_of_callers_hold_and_handlers_that_change_something_are_not_cancelled():
    outcome = ours(
        SERVE
        + """
async def handle(request):
    if request.method == "GET":
        await asyncio.Event().wait()
    while current_deadline.get().leaves_time(monotonic()):
        await asyncio.sleep(0.005)
    return aiohttp.web.Response()
async def program(app, session):
    for method in ("GET", "POST"):
        async with session.request(method, "/", headers={"Peerage-Timeout-Ms": "20"}) as response:
            say(response.status)
import time
from peerage.calling.deadline import current_deadline
from peerage.timing import monotonic
serve(program, routes=lambda webapp: webapp.router.add_route("*", "/", handle))
"""
    )
    assert outcome.lines == ["504", "200"], outcome.log


def test_the_extra_isnt_needed_for_web():
    """It is for schemas; without it the error has the pip line."""
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
