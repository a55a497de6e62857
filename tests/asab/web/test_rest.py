"""The row ``asab.web.rest``: JSON out, errors as JSON, JSON in."""

import pytest
from tests.asab.both import both, ours
from tests.asab.web.programs import SERVE


def test_json_response():
    """Dates, bytes, data classes, ``rest_get()``; other values as text."""
    outcome = both(
        SERVE
        + """
import dataclasses, datetime, decimal, zoneinfo
@dataclasses.dataclass
class Point:
    x: int
    when: object = None
class Own:
    def rest_get(self): return {"own": True}
utc = datetime.timezone.utc
data = {
    "naive": datetime.datetime(2024, 5, 1, 10, 0, 0),
    "utc": datetime.datetime(2024, 5, 1, 10, 0, 0, 5, tzinfo=utc),
    "zone": datetime.datetime(2024, 5, 1, 10, 0, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
    "bytes": b"\\x00\\xff", "point": Point(1, datetime.datetime(2024, 5, 1)), "own": Own(),
    "decimal": decimal.Decimal("1.5"), "text": "ž", "none": None, "set": [1, (2,)],
}
async def handle(request):
    return asab.web.rest.json_response(request, data, status=201, headers={"X-Own": "1"})
async def program(app, session):
    async with session.get("/") as response:
        await show(response, "X-Own")
serve(program, routes=lambda webapp: webapp.router.add_get("/", handle))
"""
    )
    assert outcome.lines[0].startswith("201 application/json 1 ")


def test_json_response_of_a_zone_that_isnt_hashable():
    """As those of dateutil are."""
    outcome = both(
        SERVE
        + """
import datetime
class Zone(datetime.tzinfo):
    __hash__ = None
    def __eq__(self, other): return isinstance(other, Zone)
    def utcoffset(self, when): return datetime.timedelta(hours=1)
    def dst(self, when): return None
async def handle(request):
    return asab.web.rest.json_response(request, datetime.datetime(2024, 1, 2, tzinfo=Zone()))
async def program(app, session):
    async with session.get("/") as response:
        await show(response)
serve(program, routes=lambda webapp: webapp.router.add_get("/", handle))
"""
    )
    assert outcome.lines == ["""200 application/json '"2024-01-02T00:00:00+01:00"'"""]


def test_json_response_for_people():
    """``?pretty``, or the argument."""
    both(
        SERVE
        + """
async def handle(request):
    return asab.web.rest.json_response(request, {"a": [1]}, pretty=request.query.get("argument") is not None)
async def program(app, session):
    queries = "?pretty", "?pretty=YES", "?pretty=1", "?pretty=t", "?pretty=no", "?pretty=x", "", "?argument"
    for query in queries:
        async with session.get("/" + query) as response:
            say(query, repr(await response.text()))
serve(program, routes=lambda webapp: webapp.router.add_get("/", handle))
"""
    )


def test_json_response_with_a_custom_dumper():
    """A subclass of JSONDumper."""
    both(
        SERVE
        + """
load("web.rest.json")
class Dumper(asab.web.rest.json.JSONDumper):
    def default(self, o): return "mine" if isinstance(o, set) else super().default(o)
async def handle(request):
    return asab.web.rest.json_response(request, data=[{1}, b"x"], dumps=Dumper)
async def program(app, session):
    async with session.get("/") as response:
        await show(response)
serve(program, routes=lambda webapp: webapp.router.add_get("/", handle))
"""
    )


ERRORS = {
    "key": "KeyError('the key')",
    "formatted": "KeyError('{} of {}', 1, 'x')",
    "no key": "KeyError()",
    "none": "KeyError(None)",
    "number": "KeyError(7)",
    "validation": "asab.exceptions.ValidationError('not {}', 'so')",
    "no validation": "asab.exceptions.ValidationError()",
    "conflict": "asab.exceptions.Conflict('twice')",
    "conflict of a field": "asab.exceptions.Conflict(key='name', value='a')",
    "no conflict": "asab.exceptions.Conflict()",
    "defect": "ZeroDivisionError('inside')",
    "not found": "aiohttp.web.HTTPNotFound()",
    "forbidden": "aiohttp.web.HTTPForbidden(text='why', headers={'X-Own': '1'})",
    "bad request": "aiohttp.web.HTTPBadRequest(reason='because')",
    "unavailable": "aiohttp.web.HTTPServiceUnavailable()",
}


def test_json_exception_middleware():
    """The response for each exception of a handler; the log has its uuid."""
    outcome = both(
        SERVE
        + f"""
load("exceptions")
errors = {{{", ".join(f"{name!r}: lambda: {text}" for name, text in ERRORS.items())}}}
async def handle(request):
    raise errors[request.query["name"]]()
async def program(app, session):
    for name in errors:
        async with session.get("/", params={{"name": name}}, allow_redirects=False) as response:
            text = await response.text()
            if response.status >= 400:
                data = json.loads(text)
                print("uuid", data["uuid"], file=sys.stderr)
                text = {{**data, "uuid": len(data["uuid"])}}
            say(name, response.status, response.content_type, response.headers.get("X-Own"), text)
    headers = {{"Authorization": "secret", "Cookie": "secret"}}
    async with session.get("/nowhere?token=secret", headers=headers) as response:
        data = json.loads(await response.text())
        say(response.status, data["result"], data["message"])
def routes(webapp):
    webapp.middlewares.append(asab.web.rest.JsonExceptionMiddleware)
    webapp.router.add_get("/", handle)
serve(program, routes=routes)
"""
    )
    assert len(outcome.lines) == len(ERRORS) + 1
    uuids = [line.split()[1] for line in outcome.log.splitlines() if line.startswith("uuid ")]
    assert len(uuids) == len(ERRORS)
    assert all(f"uuid {uuid}:" in outcome.log for uuid in uuids)
    assert "ZeroDivisionError: inside" in outcome.log
    assert "secret" not in outcome.log


def test_json_exception_middleware_of_an_error_that_is_json_already():
    """It isn't put into JSON once more; the uuid is added."""
    outcome = ours(
        SERVE
        + """
async def handle(request):
    raise aiohttp.web.HTTPServiceUnavailable(
        text='{"result": "UNAVAILABLE", "message": "later"}', content_type="application/json")
async def program(app, session):
    async with session.get("/") as response:
        data = await response.json()
        say(response.status, data["result"], data["message"], len(data["uuid"]))
def routes(webapp):
    webapp.middlewares.append(asab.web.rest.JsonExceptionMiddleware)
    webapp.router.add_get("/", handle)
serve(program, routes=routes)
"""
    )
    assert outcome.lines == ["503 UNAVAILABLE later 36"], outcome.log


def test_json_exception_middleware_of_a_text_that_is_no_format():
    """The text itself; the original fails over it."""
    outcome = ours(
        SERVE
        + """
load("exceptions")
async def handle(request):
    raise asab.exceptions.ValidationError("not {this}", 1)
async def program(app, session):
    async with session.get("/") as response:
        data = json.loads(await response.text())
        say(response.status, data["result"], data["message"])
def routes(webapp):
    webapp.middlewares.append(asab.web.rest.JsonExceptionMiddleware)
    webapp.router.add_get("/", handle)
serve(program, routes=routes)
"""
    )
    assert outcome.lines == ["400 VALIDATION-ERROR not {this}"], outcome.log


def test_json_exception_middleware_of_an_answer_that_has_begun():
    """It is broken off; the original puts a second answer into it."""
    outcome = ours(
        SERVE
        + """
async def stream(request):
    response = aiohttp.web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"x")
    raise ZeroDivisionError("inside")
async def talk(request):
    socket = aiohttp.web.WebSocketResponse()
    await socket.prepare(request)
    raise ZeroDivisionError("inside")
async def program(app, session):
    try:
        async with session.get("/stream") as response:
            say(response.status)
            say(await response.read())
    except aiohttp.ClientPayloadError:
        say("broken off")
    async with session.ws_connect("/socket") as socket:
        say((await socket.receive()).type.name)
def routes(webapp):
    webapp.middlewares.append(asab.web.rest.JsonExceptionMiddleware)
    webapp.router.add_get("/stream", stream)
    webapp.router.add_get("/socket", talk)
serve(program, routes=routes)
"""
    )
    assert outcome.lines == ["200", "broken off", "CLOSED"], outcome.log
    assert outcome.log.count("ZeroDivisionError: inside") == 2


@pytest.mark.parametrize("status", ["HTTPFound('/x')", "HTTPNoContent()", "HTTPOk(text='fine')"])
def test_json_exception_middleware_leaves_alone_what_is_no_error(status):
    """Responses may be raised; the original answers 500."""
    outcome = ours(
        SERVE
        + f"""
async def handle(request):
    raise aiohttp.web.{status}
async def program(app, session):
    async with session.get("/", allow_redirects=False) as response:
        say(response.status == aiohttp.web.{status}.status)
def routes(webapp):
    webapp.middlewares.append(asab.web.rest.JsonExceptionMiddleware)
    webapp.router.add_get("/", handle)
serve(program, routes=routes)
"""
    )
    assert outcome.lines == ["True"], outcome.log


def test_a_reason_of_several_lines_is_one():
    """It is in the status line."""
    pytest.importorskip("fastjsonschema")
    outcome = ours(
        SERVE
        + """
@asab.web.rest.json_schema_handler({"properties": {"a\\nb": {"type": "string"}}})
async def handle(request, *, json_data):
    raise AssertionError
async def program(app, session):
    async with session.post("/", json={"a\\nb": 1}) as response:
        say(response.status, response.reason)
serve(program, routes=lambda webapp: webapp.router.add_post("/", handle))
"""
    )
    assert outcome.lines[0].startswith("400 "), outcome.log
