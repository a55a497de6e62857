"""A service found by its shards as well: the one that holds shard 1 is http://1.shard.asab/."""

import peerage.asab as asab

asab.Config.add_defaults({"web": {"listen": "0.0.0.0 0"}, "shards": {"held": "1 2"}})


class ShardsApplication(asab.Application):
    def __init__(self):
        super().__init__()

        self.add_module(asab.web.Module)
        web = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
        web.WebApp.router.add_get("/", self.get_shards)
        web.WebApp.router.add_put("/{shard}", self.put_shard)

        self.add_module(asab.zookeeper.Module)
        zookeeper = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), "zookeeper")

        self.Api = asab.api.ApiService(self)
        self.Api.initialize_web(web)
        self.Api.initialize_zookeeper(zookeeper)

        self.hold(asab.Config.getmultiline("shards", "held"))

    def hold(self, shards):
        # Texts, as in URLs: services on ASAB itself find a number by locate() only.
        self.Shards = sorted(shards)
        # The whole list of this key; now or, without a gap, at any time later.
        self.Api.update_discovery({"shard": self.Shards})

    async def get_shards(self, request):
        return asab.web.rest.json_response(request, {"shards": self.Shards})

    async def put_shard(self, request):
        self.hold({*self.Shards, request.match_info["shard"]})
        return await self.get_shards(request)


if __name__ == "__main__":
    ShardsApplication().run()
