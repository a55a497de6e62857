"""The requests that watching the folder sends to the server."""

from peerage.backends.zookeeper.registry import ZooKeeperRegistry
from peerage.registry import open_registry
from peerage.testing import View
from peerage.testing.harness import closing


async def test_a_removal_is_reported_without_a_request(url):
    """The event is enough: with a thousand watchers, each request would be a thousand."""
    async with closing(open_registry(url)) as (owner,), closing(open_registry(url)) as (registry,):
        assert isinstance(registry, ZooKeeperRegistry)
        async with View(registry) as view:
            await view.until(lambda: view.ready)
            advertisements = [owner.advertise("Gone", b"%d" % number) for number in range(3)]
            nodes = [await advertisement.registered() for advertisement in advertisements]
            await view.until(lambda: set(view.data) == set(nodes))
            asked, post = [], registry.connection.post

            def note(request):
                asked.append(request)
                return post(request)

            registry.connection.post = note
            for left, advertisement in enumerate(advertisements[::-1]):
                await advertisement.withdraw()
                await view.until(lambda left=left: len(view.data) == 2 - left)
            assert asked == []
