"""Hosts that Django accepts: it answers 400 to one with an underscore, such as ``orders.service_id.asab``.

``orders.service-id.asab`` is another spelling of the same name.
"""

from peerage.records.names import with_hyphens

__all__ = ["is_django", "with_hyphens"]


def is_django(app: object) -> bool:
    """Tell whether *app* is what ``get_wsgi_application()`` or ``get_asgi_application()`` returns."""
    return type(app).__module__.partition(".")[0] == "django"
