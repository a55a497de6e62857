"""A program that finds a service by its name and calls it; it isn't advertised itself."""

import peerage.asab as asab


class ClientApplication(asab.Application):
    def __init__(self):
        super().__init__()
        self.add_module(asab.zookeeper.Module)
        zookeeper = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), "zookeeper")
        self.Discovery = asab.api.discovery.DiscoveryService(self, zookeeper)

    async def main(self):
        print(await self.Discovery.locate(service_id="orders"))

        async with self.Discovery.session() as session:
            try:
                async with session.get("http://orders.service_id.asab/v1/orders") as response:
                    print(response.status, await response.json())
            except asab.api.discovery.NotDiscoveredError as error:
                print(error)
                self.set_exit_code(1)

        # Without it, the application would go on until it gets a signal.
        self.stop()


if __name__ == "__main__":
    raise SystemExit(ClientApplication().run())
