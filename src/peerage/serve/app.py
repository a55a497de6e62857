"""The whole application: page, API and what Prometheus reads, over one view."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from aiohttp import web

from peerage.serve.api import add_api
from peerage.serve.events import Events
from peerage.serve.hosts import add_headers, guard
from peerage.serve.page import add_page
from peerage.serve.prometheus import add_prometheus
from peerage.serve.view import View

if TYPE_CHECKING:
    from peerage.auth.verifier import Verifier


def create_app(
    view: View, *, host_names: Iterable[str] = (), verifier: "Verifier | None" = None
) -> web.Application:
    """Return an application that shows *view*, to be run by itself or mounted with ``add_subapp()``.

    Args:
        view: what it shows; opened and closed by the caller.
        host_names: names of this server besides localhost and loopback addresses; requests that are meant
            for another host are answered 421.
        verifier: of tokens; requests without one that allows ``peerage:read`` are refused. None: no token is
            needed, so the server must listen on loopback, or check its callers itself.
    """
    app = web.Application(middlewares=[guard(host_names)])
    if verifier is not None:
        from peerage.serve.access import readers_only  # noqa: PLC0415 - loads what verifies tokens

        app.middlewares.append(readers_only(verifier))
    app.on_response_prepare.append(add_headers)
    add_page(app)
    events = Events(view)
    add_api(app, view, events)
    add_prometheus(app, view, events)
    return app
