"""``peerage serve``: a page to look at, an HTTP API and Prometheus' targets and metrics; all of it read only.

Each part takes a :class:`View` of a membership, so an application can mount them in its own server.
"""

from peerage.serve.app import create_app
from peerage.serve.view import View

__all__ = ["View", "create_app"]
