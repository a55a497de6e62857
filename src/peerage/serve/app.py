"""The whole application: page, API and exporters over one view."""

from collections.abc import Iterable

from aiohttp import web

from peerage.serve.api import add_api
from peerage.serve.hosts import add_headers, guard
from peerage.serve.page import add_page
from peerage.serve.prometheus import add_prometheus
from peerage.serve.view import View


def create_app(view: View, *, host_names: Iterable[str] = ()) -> web.Application:
    """Return an application that shows *view*, to be run by itself or mounted with ``add_subapp()``.

    Args:
        view: what it shows; opened and closed by the caller.
        host_names: names of this server besides localhost and loopback addresses; requests that are meant
            for another host are answered 421.
    """
    app = web.Application(middlewares=[guard(host_names)])
    app.on_response_prepare.append(add_headers)
    add_page(app)
    add_api(app, view)
    add_prometheus(app, view)
    return app
