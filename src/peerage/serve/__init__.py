"""A page that shows the cluster, an HTTP API, and what Prometheus reads: all of it read only.

``peerage serve`` is a server of these alone. Each part takes a :class:`View` of a membership, so that an
application can mount them in its own aiohttp server: all with :func:`create_app`, which also says who may
read, or some with ``add_page()``, ``add_api()`` and ``add_prometheus()``, which add routes to an application.
The page needs the API below the same path.
"""

from peerage.serve.api import add_api
from peerage.serve.app import create_app
from peerage.serve.page import add_page
from peerage.serve.prometheus import add_prometheus
from peerage.serve.view import View

__all__ = ["View", "add_api", "add_page", "add_prometheus", "create_app"]
