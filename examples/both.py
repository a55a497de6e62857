"""A service that calls another one with the authorization of its caller."""

import aiohttp.web

import peerage.asab as asab

asab.Config.add_defaults({"web": {"listen": "0.0.0.0 0"}})


class ShopApplication(asab.Application):
    def __init__(self):
        super().__init__()

        self.add_module(asab.web.Module)
        web = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
        # Answers errors as JSON.
        web.WebApp.middlewares.append(asab.web.rest.JsonExceptionMiddleware)
        web.WebApp.router.add_get("/v1/shop", self.get_shop)

        self.add_module(asab.zookeeper.Module)
        zookeeper = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), "zookeeper")

        api = asab.api.ApiService(self)
        api.initialize_web(web)
        api.initialize_zookeeper(zookeeper)
        self.Discovery = self.get_service("asab.DiscoveryService")

    async def get_shop(self, request):
        # A session made while a request is handled relays its Authorization, within the cluster only.
        session = self.Discovery.session("http://orders.service_id.asab/v1/", raise_for_status=True)
        try:
            async with session, session.get("orders") as response:
                orders = await response.json()
        except (asab.api.discovery.NotDiscoveredError, aiohttp.ClientError) as error:
            raise aiohttp.web.HTTPServiceUnavailable(reason="No instance of orders is available") from error
        return asab.web.rest.json_response(request, {"shop": "open", "orders": orders})


if __name__ == "__main__":
    ShopApplication().run()
