"""The row ``asab.web.rest``: bodies that are checked by a JSON schema."""

import pytest
from tests.asab.both import both, ours
from tests.asab.web.programs import SERVE

#: Content types and bodies that mean nothing, or say what mustn't stand in a status line.
BAD = {
    "nested too deeply": ("application/json", b"[" * 100_000),
    "no UTF-8": ("application/json", b'"\xff"'),
    "no such character set": ("application/json; charset=nonsense", b"{}"),
    "multipart without a boundary": ("multipart/form-data", b"x"),
    "multipart without its boundary": ("multipart/form-data; boundary=b", b"x"),
    "multipart that ends early": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx',
    ),
    "multipart without names": ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"),
    "form of no such character set": ("application/x-www-form-urlencoded; charset=nonsense", b"a=b"),
    "a lone surrogate": ("application/json", b'{"\\ud800": 1}'),
    "null": ("application/json", b'{"\\u0000": 1}'),
    "long": ("application/json", b'{"' + b"x" * 20_000 + b'": 1}'),
}


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "n": {"type": "number", "default": 5}},
    "required": ["name"],
}


#: Requests, as aiohttp takes them.
SENT = {
    "right": "json={'name': 'a'}",
    "with more": "json={'name': 'a', 'n': 1, 'x': [1]}",
    "wrong type": "json={'name': 1}",
    "missing": "json={}",
    "a list": "json=[1]",
    "broken": "data=b'{', headers={'Content-Type': 'application/json'}",
    "form": "data={'name': 'a'}",
    "wrong form": "data={'other': 'a'}",
    "multipart": "data=aiohttp.FormData({'name': 'a'}, default_to_multipart=True)",
    "text": "data='name', headers={'Content-Type': 'text/plain'}",
}


HANDLER = """
@asab.web.rest.json_schema_handler(SCHEMA)
async def handle(request, *, json_data):
    return aiohttp.web.json_response(json_data)
class Handler:
    @asab.web.rest.json_schema_handler(SCHEMA)
    async def handle(self, request, *, json_data):
        '''Documented.'''
        return aiohttp.web.json_response(json_data)
def routes(webapp):
    webapp.router.add_post("/", handle)
    webapp.router.add_put("/", Handler().handle)
"""


@pytest.fixture(scope="module")
def fastjsonschema():
    """The extra; without it there is nothing to compare."""
    return pytest.importorskip("fastjsonschema")


@pytest.mark.usefixtures("fastjsonschema")
def test_json_schema_handler():
    """JSON and forms that match are passed on, the rest is answered 400 with the reason."""
    outcome = both(
        SERVE
        + f"SCHEMA = {SCHEMA!r}\n"
        + HANDLER
        + f"""
async def program(app, session):
    requests = {{{", ".join(f"{name!r}: lambda: dict({text})" for name, text in SENT.items())}}}
    for name, make_request in requests.items():
        for method in ("POST", "PUT"):
            async with session.request(method, "/", **make_request()) as response:
                say(name, response.status, response.reason, repr(await response.text()))
    say(handle.json_schema == SCHEMA, Handler.handle.__name__, Handler.handle.__doc__)
serve(program, routes=routes)
"""
    )
    assert len(outcome.lines) == 2 * len(SENT) + 1


@pytest.mark.usefixtures("fastjsonschema")
def test_json_schema_handler_of_a_file(tmp_path):
    """By its name; something else is a ValueError."""
    path = tmp_path / "schema.json"
    path.write_text('{"type": "object", "required": ["name"]}')
    outcome = both(
        SERVE
        + f"SCHEMA = {str(path)!r}\n"
        + HANDLER
        + """
async def program(app, session):
    for data in ({"name": 1}, {}):
        async with session.post("/", json=data) as response:
            say(response.status)
    try:
        asab.web.rest.json_schema_handler(["name"])(handle)
    except ValueError:
        say("ValueError")
serve(program, routes=routes)
"""
    )
    assert outcome.lines == ["200", "400", "ValueError"]


@pytest.mark.usefixtures("fastjsonschema")
def test_json_schema_handler_of_a_view():
    """A method of :class:`aiohttp.web.View` has its request (in the original it fails)."""
    outcome = ours(
        SERVE
        + f"""
class View(aiohttp.web.View):
    @asab.web.rest.json_schema_handler({SCHEMA!r})
    async def post(self, *, json_data):
        return aiohttp.web.json_response(json_data)
async def program(app, session):
    async with session.post("/", json={{"name": "a"}}) as response:
        say(response.status, await response.text())
serve(program, routes=lambda webapp: webapp.router.add_view("/", View))
"""
    )
    assert outcome.lines == ['200 {"name": "a", "n": 5}'], outcome.log


@pytest.mark.usefixtures("fastjsonschema")
@pytest.mark.parametrize("name", BAD)
def test_json_schema_handler_of_unreadable_data(name):
    """It is the client's fault: 400 with a reason, not 500 (as in the original) or no answer."""
    content_type, body = BAD[name]
    outcome = ours(
        SERVE
        + f"""
@asab.web.rest.json_schema_handler({{"type": "object", "patternProperties": {{"": {{"type": "string"}}}}}})
async def handle(request, *, json_data):
    raise AssertionError
async def program(app, session):
    async with session.post("/", data={body!r}, headers={{"Content-Type": {content_type!r}}}) as response:
        say(response.status, (await response.text()).startswith("400: " + response.reason))
serve(program, routes=lambda webapp: webapp.router.add_post("/", handle))
"""
    )
    assert outcome.lines == ["400 True"], outcome.log
