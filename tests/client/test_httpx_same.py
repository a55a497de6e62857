"""The same request through the transport of httpx and through ours: the same bytes there and back."""

import asyncio
import re
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.client.conftest import Fleet
from tests.client.httpxclients import LIBRARIES, discovery_of
from tests.support import Clock

HOST = "orders.service_id.asab"

#: What hypothesis makes up, for each package and direction.
EXAMPLES = 25

#: The header that we add to each request.
OURS = re.compile(rb"Peerage-Dialled: [^\r]*\r\n")


async def read_chunks(reader):
    """Return the bytes of a body in chunks."""
    read = []
    while not read or read[-2] != b"0\r\n":
        read.append(await reader.readline())
        read.append(await reader.readexactly(int(read[-1], 16) + 2))
    return b"".join(read)


class Recorder:
    """A server that keeps the bytes of each request, and answers with given bytes."""

    def __init__(self):
        self.answer = b""
        self.seen = []

    async def __call__(self, reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?im)^content-length: (\d+)\r$", head)
            body = b""
            if length is not None:
                body = await reader.readexactly(int(length[1]))
            elif re.search(rb"(?im)^transfer-encoding:", head):
                body = await read_chunks(reader)
            self.seen.append(OURS.sub(b"", head) + body)
            writer.write(self.answer)
            await writer.drain()
            if b"Connection: close" in self.answer:
                return


class Pair:
    """Two clients of a package: one over its own transport, and one over ours; both reach the recorder."""

    def __init__(self, runner, stack, package, transport, folder):
        self._runner = runner
        self.recorder = Recorder()
        self.package = package

        async def start():
            fleet = Fleet(stack, Clock(), peers=None)
            stack.push_async_callback(fleet.aclose)
            await fleet.serve_raw(self.recorder)
            server = await asyncio.start_unix_server(self._converse, folder / "socket")
            stack.callback(server.close)
            plain = package.AsyncHTTPTransport(uds=str(folder / "socket"))
            for each in (plain, transport(discovery_of(fleet))):
                client = package.AsyncClient(transport=each, timeout=5)
                self.clients.append(await stack.enter_async_context(client))

        self.clients = []
        runner.run(start())

    async def _converse(self, reader, writer):
        try:
            await self.recorder(reader, writer)
        except EOFError:
            pass
        finally:
            writer.close()

    def send(self, make):
        """Send a request by way of both, and return what each sent and got."""

        async def both():
            results = []
            for client in self.clients:
                self.recorder.seen.clear()
                response = await client.send(make(client))
                got = (
                    response.status_code,
                    response.reason_phrase,
                    response.http_version,
                    response.headers.raw,
                    response.content,
                )
                (sent,) = self.recorder.seen
                results.append((sent, got))
            return results

        return self._runner.run(both())


@pytest.fixture(params=["httpx", "httpx2"])
def pair(request, tmp_path):
    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        try:
            yield Pair(runner, stack, *LIBRARIES[request.param], tmp_path)
        finally:
            runner.run(stack.aclose())


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

visible = st.characters(min_codepoint=0x20, max_codepoint=0x2FF, exclude_characters="\x7f")
names = st.sampled_from(["X", "x", "X-Two", "accept", "User-Agent", "Cookie", "If-Match", "Via", "~!#$"])
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)
fields = st.lists(st.tuples(names, values), max_size=6)
bodies = st.one_of(
    st.just({}),
    st.builds(lambda content: {"content": content}, st.binary(max_size=50)),
    st.builds(lambda json: {"json": json}, st.dictionaries(st.text(max_size=3), st.integers(), max_size=3)),
    st.builds(
        lambda data: {"data": data}, st.dictionaries(st.text("abc é&", max_size=3), st.text(max_size=3))
    ),
    st.builds(lambda parts: {"parts": parts}, st.lists(st.binary(max_size=20), max_size=4)),
    st.builds(lambda part: {"files": {"f": ("name", part)}}, st.binary(max_size=20)),
)


requests = st.builds(
    SimpleNamespace,
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"]),
    path=st.text(visible, max_size=20),
    query=st.lists(st.tuples(st.text(visible, max_size=5), st.text(visible, max_size=5)), max_size=3),
    fields=fields,
    body=bodies,
    has_length=st.booleans(),
)


def asked(method="GET", path="", *, query=(), fields=(), body=None, has_length=False):
    """Return an example."""
    return SimpleNamespace(
        method=method, path=path, query=query, fields=fields, body=body or {}, has_length=has_length
    )


def request_of(client, asked):
    """Return the request that *asked* describes."""
    headers = [(name.encode(), value.encode()) for name, value in asked.fields]
    content = dict(asked.body)
    parts = content.pop("parts", None)
    if parts is not None:
        if asked.has_length:
            headers.insert(0, (b"Content-Length", b"%d" % sum(map(len, parts))))

        async def stream():
            for part in parts:
                yield part

        content["content"] = stream()
    if "files" in content:
        headers.append((b"Content-Type", b"multipart/form-data; boundary=same-for-both"))
    url = f"http://{HOST}/{asked.path}"
    return client.build_request(asked.method, url, params=asked.query or None, headers=headers, **content)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests)
@example(asked(path="a?"))
@example(
    asked(
        path="//b/../c/./%2f%2F%41é",
        query=[("a b", "c+d&e")],
        fields=[("X", "1"), ("X-Two", ""), ("x", "2")],
    )
)
@example(asked("DELETE", fields=[("X", "é")]))
@example(asked("POST"))
@example(asked("PUT", body={"parts": [b"", b"ab", b"c" * 100_000]}, has_length=True))
@example(asked("PUT", body={"parts": [b"", b"ab", b"c" * 100_000]}))
@example(asked("POST", body={"content": b"x" * 300_000}))
def test_requests_are_the_same(pair, asked):
    pair.recorder.answer = OK
    plain, ours = pair.send(lambda client: request_of(client, asked))
    assert ours == plain


answers = st.builds(
    SimpleNamespace,
    version=st.sampled_from([b"1.1", b"1.0"]),
    status=st.sampled_from([200, 201, 203, 400, 404, 418, 500]),
    reason=st.sampled_from([b"", b"OK", b"It works", b"caf\xc3\xa9"]),
    fields=st.lists(
        st.tuples(st.sampled_from([b"X", b"x", b"Set-Cookie", b"Link", b"vary"]), values.map(str.encode)),
        max_size=5,
    ),
    body=st.binary(max_size=100),
    framing=st.sampled_from(["length", "chunked", "close"]),
)


def serialized(answer):
    """Return the bytes of an answer."""
    version, framing, body = answer.version, answer.framing, answer.body
    if version == b"1.0":
        framing = "close"
    fields = list(answer.fields)
    if framing == "length":
        fields.append((b"Content-Length", str(len(body)).encode()))
    elif framing == "chunked":
        fields.append((b"Transfer-Encoding", b"chunked"))
        chunks = [body[begin : begin + 7] for begin in range(0, len(body), 7)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    elif framing == "close":
        fields.append((b"Connection", b"close"))
    head = b"HTTP/%s %d %s\r\n" % (version, answer.status, answer.reason)
    return head + b"".join(b"%s: %s\r\n" % field for field in fields) + b"\r\n" + body


def told(*, status=200, fields=(), body=b"body", framing="length"):
    """Return an example."""
    return SimpleNamespace(
        version=b"1.1", status=status, reason=b"OK", fields=fields, body=body, framing=framing
    )


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers)
@example(told(fields=[(b"X", b"x" * 20_000)]))
@example(told(fields=[(b"X", b"caf\xe9")]))
@example(told(status=204, body=b"", framing="none"))
def test_answers_are_the_same(pair, answer):
    pair.recorder.answer = serialized(answer)
    plain, ours = pair.send(lambda client: client.build_request("GET", f"http://{HOST}/"))
    assert ours == plain
