"""The service of peer.py, with what asab 25.15 has for authorization, and what jwcrypto makes and accepts."""

import json
import time

import aiohttp.web
import asab
import asab.contextvars
import asab.web.auth
import jwcrypto.jwk
import jwcrypto.jwt
from peer import PeerOfAsab


class PeerWithAuth(PeerOfAsab):
    def __init__(self):
        super().__init__()
        self.WebContainer.WebApp.router.add_get("/caller", self.caller)
        self.AuthService = asab.web.auth.AuthService(self)

    async def caller(self, _):
        authz = asab.contextvars.Authz.get()
        return aiohttp.web.json_response({"iss": authz.Issuer, "superuser": authz.has_superuser_access()})

    async def do_call(self, url):
        """Status and body of a call with the internal token."""
        async with self.Discovery.session(auth="internal") as session, session.get(url) as response:
            return [response.status, await response.text()]

    async def do_ready(self, _):
        """Whether it has a token to send and a key to verify by."""
        return self.Discovery.InternalAuth.IdToken is not None and bool(
            self.AuthService.Providers[0].TrustedJwkSet["keys"]
        )

    async def do_update(self, _):
        """Look at the key again, which it does by itself every five minutes."""
        await self.Discovery.InternalAuth._prepare_keys_and_tokens()

    async def do_make(self, argument):
        """A key of jwcrypto, private, with a kid or without, and a token signed by it."""
        kid = {"kid": argument["kid"]} if argument["kid"] else {}
        key = jwcrypto.jwk.JWK.generate(**argument["kind"], **kid)
        header = {"alg": argument["alg"], "typ": "JWT", "kid": argument["kid"]}
        now = int(time.time())
        claims = {"iss": "http://x", "iat": now, "exp": now + 600, "resources": {"*": ["authz:superuser"]}}
        token = jwcrypto.jwt.JWT(header=header, claims=json.dumps(claims))
        token.make_signed_token(key)
        return {"key": json.loads(key.export(private_key=True)), "token": token.serialize()}

    async def do_accepts(self, argument):
        """Whether jwcrypto verifies a token by the public part of a private key, alone and in a set."""
        key = jwcrypto.jwk.JWK.from_json(json.dumps(argument["key"])).public()
        keys = jwcrypto.jwk.JWKSet()
        keys.add(key)
        return [json.loads(jwcrypto.jwt.JWT(jwt=argument["token"], key=one).claims) for one in (key, keys)]


if __name__ == "__main__":
    PeerWithAuth().run()
