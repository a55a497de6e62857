"""Small programs with authorization that call themselves: keys in a file, no discovery."""

import json
from typing import Final

from tests.asab.web.programs import SERVE
from tests.auth.support import claims, jwk, jwks, token

__all__ = ["SMALL", "tokens"]

#: ``small(program, routes)`` runs an application with an AuthService; ``status(…)`` says what is answered.
SMALL: Final = (
    SERVE
    + """
load("web.auth", "contextvars", "exceptions")
require, require_superuser, noauth = (
    asab.web.auth.require, asab.web.auth.require_superuser, asab.web.auth.noauth)
TOKENS = json.loads(os.environ["TEST_TOKENS"])
# The original installs itself in the container of this section only.
asab.Config.add_defaults({"web": {"listen": "127.0.0.1 0"}})
asab.Config.add_defaults({"auth": {"public_keys_file": os.environ["TEST_KEYS"]}})

def small(program, routes=None, config=None):
    app = make({"listen": "127.0.0.1 0", **(config or {})})
    app.auth = asab.web.auth.AuthService(app)
    if routes is not None:
        routes(app.container.WebApp)
    return go(app, program)

def bearer(who):
    return {} if who is None else {"Authorization": f"Bearer {TOKENS[who]}"}

async def status(session, path, who=None, method="GET", **kwargs):
    async with session.request(method, path, headers=bearer(who), **kwargs) as response:
        await response.read()
        return response.status

async def statuses(session, path, *whos, method="GET"):
    say(path, *[await status(session, path, who, method) for who in whos or (None, "reader", "root")])

async def answer(request):
    return aiohttp.web.Response(text="answered")
"""
)


def tokens(folder, **more: str) -> dict[str, str]:
    """The environment: keys in a file, and tokens of a reader, a superuser, and others."""
    keys = folder / "keys.json"
    keys.write_bytes(jwks(jwk()))
    known = {
        "reader": token(),
        "root": token(claims(resources={"*": ["authz:superuser"]})),
        "tenant": token(claims(resources={"acme": ["a:read", "authz:superuser"], "empty": []})),
        "stranger": token(name="stranger", kid="first"),
        "expired": token(claims(exp=1)),
    }
    return {"TEST_KEYS": str(keys), "TEST_TOKENS": json.dumps(known | more)}
