"""What a server refuses because it can only be meant for another process."""

import asyncio
import logging
from contextlib import asynccontextmanager

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.frameworks import FRAMEWORKS, serving
from yarl import URL

from peerage import Discovery, Identity, open_registry
from peerage.calling.misdirected import Dialled, dialled_header
from peerage.serving.misdirected import is_for_another
from peerage.testing import eventually

LOCAL = ("10.0.0.5", 8080)
STALE = Dialled("Billing.0000000007", "10.0.0.5", 8080)


class Callee:
    """A process with the ids and records given."""

    def __init__(self, ids=(), records=()):
        self._ids, self._records = set(ids), set(records)

    def own_ids(self):
        return self._ids

    def own_records(self):
        return self._records


ORDERS = Callee(
    {("service_id", "orders"), ("shard", "17"), ("region", "eu.west")},
    {"Orders.0000000041", "Orders.0000000042"},
)


def refused(callee=ORDERS, dialled=STALE, local=LOCAL, host="billing.service_id.asab"):
    return is_for_another(callee, dialled, local, host)


@pytest.mark.parametrize(
    "host",
    [
        *("billing.service_id.asab", "orders.instance_id.asab", "18.shard.asab", "west.region.asab"),
        *("billing.service_id.asab:8080", "billing.service_id.asab:", "billing.service_id.asab.:80"),
    ],
)
def test_a_name_of_another_service_at_this_address_is_refused(host):
    """The record isn't of this process, and the address is that of the connection."""
    assert refused(host=host)


@pytest.mark.parametrize(
    "host",
    [
        *("orders.service_id.asab", "ORDERS.Service-ID.asab.:80", "17.shard.asab", "eu.west.region.asab"),
        *("example.org", "10.0.0.5:8080", "[::1]:80", "", "asab", "x.asab", "billing.service_id.asab.org"),
    ],
)
def test_its_own_names_and_what_is_no_logical_name_are_accepted(host):
    """The record doesn't matter: an id may have been removed a moment ago."""
    assert not refused(host=host)


@pytest.mark.parametrize("name", ["Orders.0000000041", "Orders.0000000042"])
def test_requests_for_its_own_records_are_accepted(name):
    """The record may be of an earlier session, and the id may have been removed."""
    assert not refused(dialled=STALE._replace(name=name))


@pytest.mark.parametrize(
    "changed", [{"address": "10.0.0.6"}, {"port": 8081}, {"address": "::1"}, {"address": "proxy"}]
)
def test_what_was_dialled_elsewhere_is_accepted(changed):
    """A proxy handed it on, with the headers of the client."""
    assert not refused(dialled=STALE._replace(**changed))


def test_a_connection_without_an_address_is_accepted():
    """A Unix socket is behind a proxy."""
    assert not refused(local=None)


@pytest.mark.parametrize(
    ("dialled", "local"),
    [
        ("10.0.0.5", ("::ffff:10.0.0.5", 8080, 0, 0)),
        ("2001:db8::5", ("2001:0db8:0::5", 8080, 0, 0)),
        ("fe80::5", ("fe80::5%eth0", 8080, 0, 2)),
    ],
)
def test_addresses_are_compared_by_their_meaning(dialled, local):
    """IPv4 may arrive on a socket of IPv6, and a link-local address names its interface."""
    assert refused(dialled=STALE._replace(address=dialled), local=local)


def test_a_process_without_ids_and_records_accepts_everything():
    """It is found by means that aren't known here; one of the two is enough to know better."""
    assert not refused(Callee())
    assert refused(Callee(ids={("instance_id", "orders-1")}))
    assert refused(Callee(records={"Orders.0000000042"}))


@pytest.mark.parametrize("name", ["Bücher", "straße", "žluť.eu"])
def test_names_that_arent_ascii_are_compared_decoded(name):
    """They travel encoded (IDNA)."""
    callee = Callee({("service_id", name.casefold())})
    assert not refused(callee, host=URL(f"http://{name}.service_id.asab").raw_host)
    assert refused(callee, host=URL(f"http://ř{name}.service_id.asab").raw_host)


def test_a_long_encoded_name_isnt_decoded():
    """Decoding takes quadratic time, and a host of more than 253 characters is no logical name."""
    assert not refused(host=f"xn--{'a' * 8000}.service_id.asab")


HOSTS = st.one_of(
    st.text(max_size=400),
    st.builds(
        "{}.{}.asab{}".format,
        st.text(max_size=300),
        st.text(max_size=80),
        st.sampled_from(["", ".", ":80", ":"]),
    ),
)


@given(host=HOSTS, name=st.text(), address=st.text(), local=st.text())
def test_hostile_headers_are_no_exception(host, name, address, local):
    """Whatever they hold, the answer is yes or no, and no unless the address is that of the connection."""
    answer = is_for_another(ORDERS, Dialled(name, address, 8080), (local, 8080), host)
    assert answer in {True, False}
    assert not is_for_another(ORDERS, Dialled(name, address, 8081), (local, 8080), host)


@pytest.fixture(params=FRAMEWORKS)
def serve(request):
    """A function that serves an application which answers with the body; yields its port."""

    @asynccontextmanager
    async def serve(discovery, processed=None, more=()):
        async def answer(request):
            if processed is not None:
                processed.append(request.headers["Host"])
            return request.body.decode()

        middleware = ("refuse_misdirected", discovery, *more)
        async with serving(request.param, {"/": answer}, middleware) as url:
            yield URL(url).port

    return serve


async def status(port, host, dialled=None, path="/"):
    """Return the status of a request, and whether it carries the mark."""
    headers = {"Host": host}
    if dialled is not None:
        headers["Peerage-Dialled"] = dialled
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}{path}", data=b"text", headers=headers) as response,
    ):
        marked = "Peerage-Misdirected" in response.headers
        assert marked == (response.status == 421)
        return response.status


async def test_refusals_are_logged_once_for_each_record(caplog, serve):
    """At most a hundred records are logged, so that no client can fill the log; names are escaped."""
    caplog.set_level(logging.INFO, logger="peerage.serving")
    async with (
        Discovery("memory:misdirected-6", service_id="orders") as discovery,
        serve(discovery) as port,
    ):
        for number in (1, 1, *range(2, 120)):
            stale = dialled_header(f"Billing.\x9b{number}", "127.0.0.1", port)
            assert await status(port, "billing.service_id.asab", stale) == 421
    refusals = [record.message for record in caplog.records if record.name == "peerage.serving.misdirected"]
    assert len(refusals) == 100
    assert "billing.service_id.asab" in refusals[0]
    assert "\\x9b1" in refusals[0]


async def test_only_clients_that_name_what_they_dialled_are_refused(serve):
    """A client of another kind, and a proxy's that hands on every header, are answered."""
    async with Discovery("memory:misdirected-1", service_id="orders") as discovery:
        registration = await discovery.advertise(port=80)
        async with serve(discovery) as port:
            stale = dialled_header("Billing.0000000007", "127.0.0.1", port)
            other = "billing.service_id.asab"
            assert await status(port, other, stale) == 421
            # Also where no route leads.
            assert await status(port, other, stale, "/nowhere") == 421
            for header in (
                None,
                "nonsense",
                dialled_header("Billing.0000000007", "127.0.0.1", 9),
                dialled_header(registration.name, "127.0.0.1", port),
            ):
                assert await status(port, other, header) == 200
            assert await status(port, "orders.service_id.asab", stale) == 200


async def test_the_ids_are_those_of_the_discovery(monkeypatch, serve):
    """They come from its arguments, its identity, its registrations and the environment as they are now."""
    identity = Identity(host="node-1", node_id="node-1")
    async with Discovery("memory:misdirected-2", identity=identity, service_id="orders") as discovery:
        registration = await discovery.advertise(port=80, ids={"shard": 1})
        async with serve(discovery) as port:
            stale = dialled_header("Billing.0000000007", "127.0.0.1", port)
            for host in ("orders.service_id.asab", "node-1.node_id.asab", "1.shard.asab"):
                assert await status(port, host, stale) == 200
            assert await status(port, "2.shard.asab", stale) == 421
            registration.update(ids={"shard": 2})
            assert await status(port, "2.shard.asab", stale) == 200
            assert await status(port, "1.shard.asab", stale) == 421
            # A client that has not heard of the removal yet chose this process's own record.
            own = dialled_header(registration.name, "127.0.0.1", port)
            assert await status(port, "1.shard.asab", own) == 200
    async with Discovery("memory:misdirected-2") as discovery, serve(discovery) as port:
        stale = dialled_header("Billing.0000000007", "127.0.0.1", port)
        assert await status(port, "stock.service_id.asab", stale) == 200
        monkeypatch.setenv("SERVICE_ID", "Stock")
        assert await status(port, "stock.service_id.asab", stale) == 200
        assert await status(port, "orders.service_id.asab", stale) == 421


async def test_records_that_are_advertised_past_the_discovery_count(serve):
    """The records of a ZooKeeperContainer are advertised in the same registry."""
    registry = open_registry("memory:misdirected-3")
    async with Discovery(registry, service_id="orders") as discovery, serve(discovery) as port:
        name = await registry.advertise("Legacy", b"{}").registered()
        own = dialled_header(name, "127.0.0.1", port)
        assert await status(port, "legacy.service_id.asab", own) == 200
        registry.expire()
        assert await status(port, "legacy.service_id.asab", own) == 200
    await registry.aclose()


async def test_a_process_may_be_found_by_several_discoveries(serve):
    """In two clusters, for instance. What is for either of them is answered, the rest is refused."""
    async with (
        Discovery("memory:misdirected-7", service_id="orders") as one,
        Discovery("memory:misdirected-8", service_id="stock") as two,
        serve(one, more=(two,)) as port,
    ):
        registration = await two.advertise(port=port, ids={"shard": 1})
        own = dialled_header(registration.name, "127.0.0.1", port)
        stale = dialled_header("Billing.0000000007", "127.0.0.1", port)
        registration.update(ids={})
        assert await status(port, "1.shard.asab", own) == 200
        for host in ("orders.service_id.asab", "stock.service_id.asab"):
            assert await status(port, host, stale) == 200
        assert await status(port, "billing.service_id.asab", stale) == 421


async def test_two_peerage_dialled_headers_are_ignored(serve):
    """A client sends one, so a proxy added the other; the request is written by hand."""
    async with (
        Discovery("memory:misdirected-4", service_id="orders") as discovery,
        serve(discovery) as port,
    ):
        stale = dialled_header("Billing.0000000007", "127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: billing.service_id.asab\r\nContent-Length: 0\r\nConnection: close\r\n"
            + f"Peerage-Dialled: {stale}\r\n".encode() * 2
            + b"\r\n"
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()


async def test_a_request_for_a_dead_service_moves_on(serve):
    """Its port belongs to another service now, which processes none of its requests, POST included."""
    registry = "memory:misdirected-5"
    billed, ordered = [], []
    async with (
        Discovery(registry, service_id="billing") as billing,
        Discovery(registry, service_id="orders", instance_id="orders-2") as orders,
        Discovery(registry, service_id="orders", instance_id="orders-1") as dead,
        serve(billing, billed) as taken,
        serve(orders, ordered) as port,
    ):
        await billing.advertise(web=[("127.0.0.1", taken)])
        await orders.advertise(web=[("127.0.0.1", port)])
        await dead.advertise(web=[("127.0.0.1", taken)])
        async with Discovery(registry) as caller, caller.session() as session:
            await eventually(lambda: len(caller.directory) == 3)
            for number in range(20):
                async with session.post("http://orders.service_id.asab/", data=b"%d" % number) as response:
                    assert await response.text() == str(number)
            async with session.post("http://billing.service_id.asab/", data=b"bill") as response:
                assert await response.text() == "bill"
    assert ordered == ["orders.service_id.asab"] * 20
    assert billed == ["billing.service_id.asab"]
