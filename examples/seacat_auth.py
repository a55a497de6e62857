"""A fake SeaCat Auth to try authorization with: it signs any claims for any caller."""

import time

import aiohttp.web

import peerage.asab as asab
from peerage.auth import PrivateKey

asab.Config.add_defaults({"web": {"listen": "0.0.0.0 0"}})


class SeaCatAuthApplication(asab.Application):
    def __init__(self):
        super().__init__()
        self.Key = PrivateKey.generate()

        self.add_module(asab.web.Module)
        web = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
        web.WebApp.router.add_get("/.well-known/jwks.json", self.get_keys)
        web.WebApp.router.add_get("/token", self.get_token)

        self.add_module(asab.zookeeper.Module)
        zookeeper = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), "zookeeper")

        api = asab.api.ApiService(self)
        api.initialize_web(web)
        api.initialize_zookeeper(zookeeper)

    async def get_keys(self, request):
        return asab.web.rest.json_response(request, {"keys": [self.Key.public.as_dict()]})

    async def get_token(self, request):
        now = int(time.time())
        claims = {
            "iss": "http://seacat-auth.service_id.asab",
            "sub": request.query["sub"],
            "iat": now,
            "exp": now + 300,
            "resources": {"*": request.query.getall("resource", [])},
        }
        return aiohttp.web.Response(text=self.Key.sign(claims))


if __name__ == "__main__":
    SeaCatAuthApplication().run()
