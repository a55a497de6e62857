"""A program that calls a service for several people, with a token of each."""

import peerage.asab as asab

TOKENS = "http://seacat-auth.service_id.asab/token"
NOTES = "http://notes.service_id.asab/v1/notes"


class SignedInApplication(asab.Application):
    def __init__(self):
        super().__init__()
        self.add_module(asab.zookeeper.Module)
        zookeeper = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), "zookeeper")
        self.Discovery = asab.api.discovery.DiscoveryService(self, zookeeper)

    async def main(self):
        await self.call("anonymous", {})
        for sub, resources in (("reader", ["note:read"]), ("writer", ["note:write"])):
            params = [("sub", sub), *(("resource", resource) for resource in resources)]
            async with self.Discovery.session() as session, session.get(TOKENS, params=params) as response:
                token = await response.text()
            await self.call(sub, {"Authorization": f"Bearer {token}"})
        self.stop()

    async def call(self, who, headers):
        async with self.Discovery.session(headers=headers) as session:
            async with session.put(f"{NOTES}/milk") as response:
                written = response.status
            async with session.get(NOTES) as response:
                print(f"{who}: writes {written}, reads {response.status} {await response.text()}")


if __name__ == "__main__":
    SignedInApplication().run()
