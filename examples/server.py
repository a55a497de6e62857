"""A web service that others find by its name: http://orders.service_id.asab/v1/orders."""

import peerage.asab as asab

asab.Config.add_defaults(
    {
        # Any free port: programs that call by name don't need to know it.
        "web": {"listen": "0.0.0.0 0"},
        "orders": {"items": "tea"},
    }
)


class OrdersApplication(asab.Application):
    def __init__(self):
        super().__init__()

        self.add_module(asab.web.Module)
        web = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
        web.WebApp.router.add_get("/v1/orders", self.get_orders)

        self.add_module(asab.zookeeper.Module)
        zookeeper = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), "zookeeper")

        # Advertises this service as soon as it listens, as SERVICE_ID and INSTANCE_ID name it.
        api = asab.api.ApiService(self)
        api.initialize_web(web)
        api.initialize_zookeeper(zookeeper)

    async def get_orders(self, request):
        orders = {
            "items": asab.Config.getmultiline("orders", "items"),
            # Whether the request has an Authorization header; it isn't verified here.
            "token": "Authorization" in request.headers,
        }
        return asab.web.rest.json_response(request, orders)


if __name__ == "__main__":
    OrdersApplication().run()
