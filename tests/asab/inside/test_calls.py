"""Beside services of the original: they find and call each other."""

from tests.asab.inside.programs import ORIGINAL, OURS, guest, named
from tests.asab.zookeeper.programs import on

from peerage import Discovery
from peerage.testing import eventually


async def test_in_one_cluster_with_the_original_and_with_us(inside, zookeeper):
    """An asab-only service, one of peerage alone and one inside find and call each other by name."""
    environ = on(zookeeper)
    url = f"zookeeper://{zookeeper.address}{environ['TEST_PATH']}"
    async with (
        guest(inside, named(environ, "original-1", ORIGINAL)) as original,
        guest(inside, named(environ, "inside-1", OURS)) as ours,
        guest(inside, named(environ, "inside-2", OURS)) as other,
        Discovery(url) as discovery,
    ):
        for one, who, key, value in (
            (ours, "original-1", "instance_id", "original-1"),
            (ours, "original-1", "service_id", "original"),
            (ours, "inside-2", "instance_id", "inside-2"),
            (other, "inside-1", "instance_id", "inside-1"),
            (original, "inside-1", "instance_id", "inside-1"),
        ):
            assert len(await one.found(**{key: value})) == 1
            assert await one.calls(f"http://{value}.{key}.asab/who") == (200, {"who": who})
        await original.found(service_id="inside")
        status, answer = await original.calls("http://inside.service_id.asab/who")
        assert (status, answer["who"].rpartition("-")[0]) == (200, "inside")
        await eventually(lambda: len(discovery.directory) == 3)
        async with (
            discovery.session() as session,
            session.get("http://inside-2.instance_id.asab/who") as response,
        ):
            assert await response.json() == {"who": "inside-2"}


async def test_comings_and_goings(inside, zookeeper):
    """New ids, and a service that ends, are seen on both sides."""
    environ = on(zookeeper)
    async with guest(inside, named(environ, "original-1", ORIGINAL)) as original:
        async with guest(inside, named(environ, "inside-1")) as ours:
            await original.found(instance_id="inside-1")
            await ours.found(instance_id="original-1")
            await ours.update_discovery({"shard": ["9"]})
            await original.found(shard="9")
            assert await original.calls("http://9.shard.asab/who") == (200, {"who": "inside-1"})
            await original.update_discovery({"shard": ["7"]})
            assert await ours.found(shard="7")
            assert await ours.calls("http://7.shard.asab/who") == (200, {"who": "original-1"})
            ours.running.terminate()
            assert (await ours.running.end())[0] == 0
        await original.found(instance_id="inside-1", there=False)


async def test_an_unknown_name(inside, zookeeper):
    """The error of discovery reaches the caller as it is."""
    async with guest(inside, named(on(zookeeper), "inside-1")) as ours:
        await ours.found(instance_id="inside-1")
        status, text = await ours.calls("http://unknown.service_id.asab/who")
        assert status == 0
        assert text.startswith("NotDiscoveredError(")


async def test_the_error_is_the_frameworks_as_well(inside, zookeeper):
    """A program that changes its ApiService alone catches it by the name that it has in asab."""
    program = """
class Catching(Guest):
    @asab.web.auth.noauth
    async def call(self, request):
        try:
            async with self.Discovery.session() as session:
                async with session.get(request.query["url"]):
                    pass
        except asab.api.discovery.NotDiscoveredError as error:
            return asab.web.rest.json_response(request, [418, type(error).__module__])
Catching().run()
"""
    async with guest(inside, named(on(zookeeper), "inside-1"), program) as ours:
        status, module = await ours.calls("http://unknown.service_id.asab/who")
        assert (status, module) == (418, "peerage.errors")
