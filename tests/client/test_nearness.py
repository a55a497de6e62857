"""Nearness and keys, with servers on loopback."""

from collections import Counter

from peerage import CallOptions, Discovery, Identity, call_options
from peerage.balancing import Place

ORDERS = "http://orders.service_id.asab/"


async def ask(session, count=20):
    """The number of answers by the name of the record."""
    seen = Counter()
    for _ in range(count):
        async with session.get(ORDERS) as response:
            seen[(await response.json())["node"]] += 1
    return seen


async def test_instances_on_this_host_are_preferred(fleet):
    # The other one's host is looked up, and leads to this host nevertheless.
    fleet.addresses["far"] = ["127.0.0.1"]
    near = await fleet.serve()
    await fleet.serve(host="far", same_host=False)
    async with fleet.session() as session, fleet.session(options=CallOptions(near=False)) as anywhere:
        assert (await ask(session, 40))[near.name] >= 30
        assert (await ask(anywhere, 40))[near.name] < 30


async def test_instances_of_this_site_are_preferred(fleet):
    fleet.client.context.place = Place(site_id="prague")
    fleet.addresses["near"] = fleet.addresses["far"] = ["127.0.0.1"]
    near = await fleet.serve(host="near", same_host=False, site_id="Prague")
    await fleet.serve(host="far", same_host=False, site_id="Brno")
    async with fleet.session() as session:
        assert (await ask(session, 40))[near.name] >= 30


async def test_a_key_chosen_for_a_call_or_a_session_goes_to_one_instance(fleet):
    served = [await fleet.serve() for _ in range(3)]
    async with fleet.session() as session, fleet.session(options=CallOptions(key="tenant-7")) as keyed:
        assert len(await ask(session)) == 3
        first = await ask(keyed)
        with call_options(key="tenant-7"):
            assert {*await ask(session)} == {*first}
        (name,) = first
        seen = set()
        for number in range(20):
            with call_options(key=f"tenant-{number}"):
                seen |= {*await ask(session, 1)}
        assert seen == {each.name for each in served}
        # It stops without a word, and the next in the order of the key answers.
        stopped = next(each for each in served if each.name == name)
        await stopped.stop()
        after = await ask(keyed)
        assert len(after) == 1
        assert name not in after
        fleet.directory.remove(name)
        assert {*await ask(keyed)} == {*after}


async def test_a_subset_of_a_small_service_is_all_of_it(fleet):
    for _ in range(3):
        await fleet.serve()
    async with fleet.session(options=CallOptions(subset=1)) as session:
        assert len(await ask(session)) == 3


async def test_a_discovery_knows_its_place_before_and_after_it_advertises(monkeypatch):
    monkeypatch.delenv("NODE_ID", raising=False)
    monkeypatch.setenv("SITE_ID", "Prague")
    async with Discovery("memory:nearness", service_id="shop") as discovery, discovery.session():
        client = discovery._client
        assert client is not None
        assert client.context.place == Place(None, "prague")
        await discovery.advertise(port=80, identity=Identity(host="here", node_id="N1", site_id="Prague"))
        assert client.context.place == Place("n1", "prague")
