"""Services with instance tokens, and what a test does with their tokens."""

import json

import pytest
from aiohttp import web

from peerage import TokenRefusedError, read_identity
from peerage.auth import SUPERUSER
from peerage.auth.jose import read_token
from peerage.web import authorize, caller, require, require_superuser

READ = {"*": ["orders:read"]}
ORDERS = "http://orders.service_id.asab"
SHOP = "http://shop-1.instance_id.asab"
ALLOW = {"*": {"*": ["orders:*", "billing:*"]}, "admin-*": {"*": [SUPERUSER]}}


def identity(name, **more):
    return read_identity({"SERVICE_ID": name, "INSTANCE_ID": f"{name}-1", **more})


def contents(text):
    return json.loads(read_token(text).payload)


def own(discovery):
    """The tokens that *discovery* issues, with its key."""
    return discovery.auth._instance_tokens


def sign(discovery, claims):
    """A token with any claims, signed with the key of *discovery*: what a compromised service can make."""
    return own(discovery)._key.sign(claims)


def verifier(discovery, allow=ALLOW):
    return discovery.auth.verifier(allow=allow)


async def refused(verifier, text, reason):
    with pytest.raises(TokenRefusedError) as caught:
        await verifier.verify(text)
    assert caught.value.reason == reason
    return str(caught.value)


def app(discovery):
    @require("orders:read")
    async def read(_):
        return web.json_response({"iss": caller().issuer, "superuser": caller().superuser})

    @require("orders:write")
    async def write(_):
        return web.Response()

    @require_superuser
    async def rule(_):
        return web.Response()

    made = web.Application(middlewares=[authorize(verifier(discovery))])
    made.router.add_get("/", read)
    made.router.add_post("/", write)
    made.router.add_get("/admin", rule)
    return made
