"""A service that shows the cluster as well: page and API are mounted in its own server."""

from aiohttp import web

from peerage import Discovery
from peerage.serve import View, create_app
from peerage.web import run_app

KEYS = "http://seacat-auth.service_id.asab/.well-known/jwks.json"


async def get_orders(_request):
    return web.json_response({"items": ["tea"]})


def create(discovery):
    view = View(discovery.membership)

    async def follow(_app):
        async with view:
            yield

    verifier = discovery.auth.verifier(KEYS, internal=False)
    cluster = create_app(view, host_names=["orders.service_id.asab"], verifier=verifier)

    app = web.Application()
    app.router.add_get("/v1/orders", get_orders)
    app.cleanup_ctx.append(follow)
    app.add_subapp("/cluster/", cluster)
    return app


if __name__ == "__main__":
    discovery = Discovery()
    run_app(create(discovery), discovery, host="0.0.0.0", port=0)
