"""What a process answers to, and the middleware that refuses the rest."""

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from peerage.misdirected import OwnIds
from peerage.server import refuse_misdirected

#: Everything is said to the process whose SERVICE_ID is Orders and whose INSTANCE_ID is orders-1.
ANSWERED = (
    *("localhost", "localhost:8080", "10.0.0.1:8080", "[::1]:8080", "[::1]", "", "example.org", "asab.org"),
    *(
        "orders.service_id.asab",
        "ORDERS.Service_Id.Asab:8080",
        "orders.service-id.asab",
        "orders.service_id.asab.",
        "orders.service_id.asab.:8080",
    ),
    *("orders-1.instance_id.asab", "asab", "x.asab", "17.shard.asab", "eu.west.region.asab", "a.shard.asab"),
)
REFUSED = (
    *(
        "billing.service_id.asab",
        "orders.instance_id.asab",
        "orders-1.service_id.asab",
        "orders.node_id.asab",
    ),
    *("18.shard.asab", "west.region.asab", "orders.nothing.asab", "billing.service_id.asab:8080"),
    *("billing.service_id.asab:", "billing.service_id.asab.:80"),
)


@pytest.fixture
def own_ids(monkeypatch):
    monkeypatch.setenv("SERVICE_ID", "Orders")
    monkeypatch.setenv("INSTANCE_ID", "orders-1")
    return OwnIds({"Shard": [17, "a"], "region": "eu.west"})


@pytest.mark.parametrize("host", ANSWERED)
def test_what_it_answers_to(own_ids, host):
    """Its own names, and whatever is no logical name."""
    assert own_ids.answers_to(host)


@pytest.mark.parametrize("host", REFUSED)
def test_what_it_doesnt_answer_to(own_ids, host):
    """Complete names of others."""
    assert not own_ids.answers_to(host)


@pytest.mark.parametrize("name", ["Bücher", "straße", "žluť.eu"])
def test_names_that_arent_ascii(monkeypatch, name):
    """They travel encoded; another one is refused all the same."""
    monkeypatch.setenv("SERVICE_ID", name)
    ids = OwnIds({"shard": [name]})
    for key in ("service_id", "shard"):
        assert ids.answers_to(URL(f"http://{name}.{key}.asab").raw_host)
        assert not ids.answers_to(URL(f"http://ř{name}.{key}.asab").raw_host)
    assert not ids.answers_to("xn--99999999.service_id.asab")


def test_the_environment_is_read_when_asked(monkeypatch):
    """As at each advertisement."""
    monkeypatch.setenv("INSTANCE_ID", "orders-1")
    ids = OwnIds()
    assert not ids.answers_to("orders.service_id.asab")
    monkeypatch.setenv("SERVICE_ID", "orders")
    assert ids.answers_to("orders.service_id.asab")
    monkeypatch.setenv("SERVICE_ID", "")
    assert not ids.answers_to("orders.service_id.asab")


@pytest.mark.parametrize("ids", [None, {}, {"shard": []}, {"shard": [None, ""]}, {"shard": None}], ids=str)
def test_who_knows_no_id_answers_to_all(monkeypatch, ids):
    """It may be advertised by other means, under names that aren't known here."""
    own_ids = OwnIds(ids)
    assert own_ids.answers_to("orders.service_id.asab")
    assert own_ids.answers_to("none.shard.asab")
    monkeypatch.setenv("INSTANCE_ID", "orders-1")
    assert not own_ids.answers_to("orders.service_id.asab")
    assert not own_ids.answers_to("none.shard.asab")


def test_claims_are_asked_for_anew():
    """Custom ids change while a service runs."""
    ids, custom = OwnIds({"colour": "blue"}), {}
    ids.claim("api", lambda: custom)
    assert not ids.answers_to("1.shard.asab")
    custom["shard"] = {1, 2}
    assert ids.answers_to("1.shard.asab")
    ids.claim("other", lambda: {"shard": [3]})
    ids.claim("api", dict)
    assert not ids.answers_to("1.shard.asab")
    assert ids.answers_to("3.shard.asab")


async def test_a_plain_aiohttp_application(monkeypatch):
    """The middleware stands alone: neither the application nor a body is looked at."""
    monkeypatch.setenv("SERVICE_ID", "orders")

    async def answer(request):
        return web.Response(text=await request.text())

    app = web.Application(middlewares=[refuse_misdirected()])
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession() as session:
            for host, status in (
                ("orders.service_id.asab", 200),
                ("billing.service_id.asab", 421),
                ("billing.example.org", 200),
            ):
                async with session.post(url, data=b"text", headers={"Host": host}) as response:
                    assert response.status == status
                    assert ("Peerage-Misdirected" in response.headers) == (status == 421)
            # Also where no route leads.
            headers = {"Host": "billing.service_id.asab"}
            async with session.get(url + "nowhere", headers=headers) as response:
                assert response.status == 421
    finally:
        await runner.cleanup()
