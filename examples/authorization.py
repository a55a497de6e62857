"""A service whose callers need a token, and one more right for what changes something."""

import peerage.asab as asab

asab.Config.add_defaults(
    {
        "web": {"listen": "0.0.0.0 0"},
        "auth": {"public_keys_url": "http://seacat-auth.service_id.asab/.well-known/jwks.json"},
    }
)


class NotesApplication(asab.Application):
    def __init__(self):
        super().__init__()
        self.Notes = []

        self.add_module(asab.web.Module)
        web = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
        web.WebApp.router.add_get("/v1/notes", self.get_notes)
        web.WebApp.router.add_put("/v1/notes/{note}", self.put_note)
        web.WebApp.router.add_get("/health", self.get_health)

        self.add_module(asab.zookeeper.Module)
        zookeeper = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), "zookeeper")

        api = asab.api.ApiService(self)
        api.initialize_web(web)
        api.initialize_zookeeper(zookeeper)

        # From here on, everything that isn't marked otherwise needs a valid token.
        asab.web.auth.AuthService(self)

    async def get_notes(self, request):
        authz = asab.contextvars.Authz.get()
        return asab.web.rest.json_response(request, {"notes": self.Notes, "for": authz.CredentialsId})

    @asab.web.auth.require("note:write")
    async def put_note(self, request):
        self.Notes.append(request.match_info["note"])
        return asab.web.rest.json_response(request, {"notes": self.Notes})

    @asab.web.auth.noauth
    async def get_health(self, request):
        return asab.web.rest.json_response(request, "alive")


if __name__ == "__main__":
    NotesApplication().run()
