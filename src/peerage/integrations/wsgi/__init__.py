"""For WSGI applications (Flask, Django) under gunicorn: advertised, found as one instance, and drained.

::

    app.wsgi_app = discovered(app.wsgi_app, service_id="orders")
"""

from peerage.integrations.wsgi.discovered import Discovered, discovered
from peerage.integrations.wsgi.propagation import propagate

__all__ = ["Discovered", "discovered", "propagate"]
