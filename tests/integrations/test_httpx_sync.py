"""Calls of programs without an event loop, through httpx and httpx2."""

import asyncio
import gc
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import httpx
import httpx2
import pytest
from aiohttp import web
from tests.backends.programs import program

import peerage
from peerage import call_options, sync
from peerage.integrations import httpx as integration
from peerage.integrations import httpx2 as integration2
from peerage.testing.waiting import PATIENCE

ORDERS = "http://orders.service_id.asab/"

LIBRARIES = {"httpx": (httpx, integration), "httpx2": (httpx2, integration2)}


async def answer(request):
    """Echo the body, or answer as the path says."""
    if request.path == "/endless":
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await asyncio.Event().wait()
    if request.path == "/interrupt":
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    if request.path in {"/hang", "/interrupt"}:
        await asyncio.Event().wait()
    if request.path == "/big":
        return web.Response(body=b"x" * 3_000_000)
    if request.path == "/early":
        response = web.StreamResponse()
        await response.prepare(request)
        async for chunk in request.content.iter_any():
            await response.write(chunk)
        return response
    answered = {"X-Path": request.path_qs, "X-Authorization": request.headers.get("Authorization", "none")}
    return web.Response(body=await request.read(), headers=answered)


@contextmanager
def serving():
    """A Discovery whose loop runs the service ``orders`` as well."""
    with sync.Discovery(f"memory:{uuid4()}", service_id="orders") as discovery:

        async def serve():
            app = web.Application()
            app.router.add_route("*", "/{tail:.*}", answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return runner

        runner = discovery.portal.run(serve())
        discovery.advertise(web=runner.addresses)
        try:
            yield discovery
        finally:
            discovery.portal.run(runner.cleanup())


@pytest.fixture
def discovery():
    with serving() as discovery:
        yield discovery
        assert settled(discovery)


def outstanding(discovery):
    client = discovery.portal.get()._client

    async def count():
        return {} if client is None else dict(client.balancer.outstanding)

    return discovery.portal.run(count())


def settled(discovery):
    """Wait until no request is under way: that is noted in another thread."""
    until = time.monotonic() + PATIENCE
    while outstanding(discovery):
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True


@pytest.fixture(params=["httpx", "httpx2"])
def library(request):
    return LIBRARIES[request.param]


@pytest.fixture
def client(discovery, library):
    package, made = library
    # httpx waits for 5 seconds by default, which may pass on a busy machine.
    with package.Client(transport=made.Transport(discovery), timeout=PATIENCE) as client:
        yield client


def test_a_service_is_called_by_name(client):
    response = client.post(f"{ORDERS}v1/%2Forders?of=me", json={"a": 1})
    assert response.json() == {"a": 1}
    assert response.headers["X-Path"] == "/v1/%2Forders?of=me"


def test_the_client_of_a_discovery(discovery):
    with discovery.client(headers={"X": "y"}) as client:
        assert client.get(ORDERS).status_code == 200


def test_hosts_outside_of_asab_are_called_by_the_wrapped_transport(discovery, library):
    package, made = library
    other = package.MockTransport(lambda request: package.Response(200, text=request.url.host))
    with package.Client(transport=made.Transport(discovery, wrapped=other)) as client:
        assert client.get("http://example.org/").text == "example.org"


def test_hosts_outside_of_asab_are_called_without_a_wrapped_transport(discovery, client):
    (url,) = discovery.locate(service_id="orders")
    assert client.get(f"{url}/").status_code == 200


def test_a_body_is_produced_in_the_thread_of_the_caller(client):
    threads = set()

    def parts():
        for part in (b"one", b"", b"two"):
            threads.add(threading.get_ident())
            yield part

    assert client.post(ORDERS, content=parts()).content == b"onetwo"
    assert threads == {threading.get_ident()}


def test_a_file_is_sent(client, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 200_000)
    with path.open("rb") as file:
        assert client.post(ORDERS, content=file).content == b"x" * 200_000
    with path.open("rb") as file:
        assert b'filename="file"' in client.post(ORDERS, files={"file": file}).content


def test_a_body_that_fails(client):
    def broken():
        yield b"x"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        client.post(ORDERS, content=broken())


def test_a_body_is_sent_while_its_answer_is_read(client):
    """A server may answer before it has received everything."""
    parts = [b"x" * 100_000] * 30
    with client.stream("POST", f"{ORDERS}early", content=iter(parts)) as response:
        assert sum(map(len, response.iter_raw())) == 3_000_000


def test_a_response_is_read_in_parts(client, discovery):
    with client.stream("GET", f"{ORDERS}big") as response:
        assert outstanding(discovery)
        assert sum(map(len, response.iter_bytes())) == 3_000_000
    assert not outstanding(discovery)


def test_a_response_is_closed_early(client, discovery):
    with client.stream("GET", f"{ORDERS}endless") as response:
        parts = response.iter_raw()
        assert next(parts) == b"begun"
        assert outstanding(discovery)
    assert settled(discovery)


def test_a_response_that_is_never_closed_is_done(client, discovery):
    def call():
        client.send(client.build_request("GET", f"{ORDERS}endless"), stream=True)
        # The other thread lets go of the response only after this one has got it.
        outstanding(discovery)
        gc.collect()

    with pytest.warns(ResourceWarning, match="never closed"):
        call()
    assert settled(discovery)


def test_a_client_that_is_never_closed_leaves_nothing_open(discovery, library, caplog):
    """As one of httpx; connections are shared, so those of other clients stay."""
    package, made = library
    package.Client(transport=made.Transport(discovery)).get(ORDERS)
    # The other thread lets go of the session only after this one has got the response.
    assert settled(discovery)
    gc.collect()
    assert not caplog.records


def test_threads_share_a_client(client):
    def call(number):
        body = str(number).encode() * 1000
        content = iter([body, body]) if number % 2 else body + body
        return client.post(ORDERS, content=content).content == body + body

    with ThreadPoolExecutor(50) as executor:
        assert all(executor.map(call, range(200)))


def test_failures_are_errors_of_httpx(client, library):
    package, _ = library
    with pytest.raises(package.ConnectError) as caught:
        client.get("http://nothing.service_id.asab/")
    assert isinstance(caught.value, peerage.NotDiscoveredError)
    limit = package.Timeout(None, read=0.05)
    with pytest.raises(package.ReadTimeout):
        client.get(f"{ORDERS}hang", timeout=limit)
    with (
        pytest.raises(package.ReadTimeout),
        client.stream("GET", f"{ORDERS}endless", timeout=limit) as response,
    ):
        response.read()


def test_options_and_deadlines_of_the_caller_apply(client, library):
    package, _ = library
    with call_options(deadline=0.05), pytest.raises(package.TimeoutException) as caught:
        client.get(f"{ORDERS}hang", timeout=None)
    assert isinstance(caught.value, peerage.DeadlineExceededError)
    with pytest.raises(peerage.DeadlineExceededError), sync.deadline(0.05):
        client.get(f"{ORDERS}hang", timeout=None)
    with peerage.trace_calls() as traces:
        client.get(ORDERS)
    assert [attempt.outcome for attempt in traces[0].attempts] == ["answered"]


def test_calls_are_authorized(discovery, client, library):
    _, made = library
    auth = made.InternalAuth(discovery)
    assert client.get(ORDERS, auth=auth).headers["X-Authorization"].startswith("Bearer ")
    (url,) = discovery.locate(service_id="orders")
    assert client.get(f"{url}/", auth=auth).headers["X-Authorization"] == "none"


def test_a_client_may_be_closed_after_its_discovery(library):
    package, made = library
    with serving() as discovery:
        client = package.Client(transport=made.Transport(discovery))
        client.get(ORDERS)
    with pytest.raises(peerage.RegistryClosedError):
        client.get(ORDERS)
    client.close()


async def test_an_interrupted_caller_gives_its_request_up():
    text = """
    from tests.integrations.test_httpx_sync import ORDERS, serving, settled

    with serving() as discovery, discovery.client(timeout=None) as client:
        client.get(ORDERS)
        for body in (b"x", iter([b"x", b"y"])):
            try:
                client.post(f"{ORDERS}interrupt", content=body)
            except KeyboardInterrupt:
                print(settled(discovery), flush=True)
    """
    async with program(text) as child:
        assert [await child.line() for _ in range(2)] == ["True", "True"]


async def test_a_forked_child_calls_with_the_client_of_its_parent(tmp_path):
    text = """
    import os, sys, warnings
    from tests.integrations.test_httpx_sync import ORDERS, serving
    from peerage import RegistryClosedError, sync

    warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
    with serving() as server:
        (url,) = server.locate(service_id="orders")
        with sync.Discovery(f"embedded://{sys.argv[1]}", service_id="orders") as discovery:
            discovery.advertise(port=int(url.rpartition(":")[2]))
            with discovery.client() as client:
                assert client.post(ORDERS, content=b"parent").text == "parent"
                response = client.send(client.build_request("GET", f"{ORDERS}big"), stream=True)
                parts = response.iter_raw()
                received = len(next(parts))
                child = os.fork()
                if child == 0:
                    print(client.post(ORDERS, content=b"child").text, flush=True)
                    try:
                        next(parts)
                    except RegistryClosedError as error:
                        print(error, flush=True)
                    response.close()
                    client.close()
                    discovery.close()
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
                received += sum(map(len, parts))
                print(client.post(ORDERS, content=b"parent").text, received, flush=True)
    """
    async with program(text, tmp_path / "registry") as child:
        assert await child.line() == "child"
        assert "in the process that sent its request" in await child.line()
        assert await child.line() == "parent 3000000"
