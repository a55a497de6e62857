"""The HTTP endpoints of the real asab's ApiService, by its own handlers."""

import logging
import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from peerage.asab.api.handlers import add_settings

if TYPE_CHECKING:
    from peerage.asab.api.service import ApiService
    from peerage.asab.host import Host

__all__ = ["add_endpoints"]


def add_endpoints(app: Any, host: "Host", api: "ApiService", container: Any) -> None:
    """Add ``/asab/v1/…`` and ``/doc`` to a web container."""
    webapp = container.WebApp
    logs = _log_handler(app)
    logging.getLogger().addHandler(logs)
    import_module("asab.api.web_handler").APIWebHandler(api, webapp, logs)
    import_module("asab.api.doc").DocWebHandler(api, app, container)
    metrics = app.get_service("asab.MetricsService")
    if metrics is not None:
        import_module("asab.metrics.web_handler").MetricWebHandler(metrics, webapp)
    add_settings(webapp.router, app, host)


def _log_handler(app: Any) -> logging.Handler:
    base: Any = import_module("asab.api.log").WebApiLoggingHandler

    class WebApiLoggingHandler(base):  # type: ignore[misc] # known when it runs
        """The framework's, which sends to WebSockets; from another thread it couldn't."""

        def emit(self, record: logging.LogRecord) -> None:
            if threading.get_ident() == home:
                super().emit(record)
            else:
                with suppress(RuntimeError):  # the loop is closed, and so are WebSockets
                    app.Loop.call_soon_threadsafe(super().emit, record)

    home = threading.get_ident()
    handler: logging.Handler = WebApiLoggingHandler(app, level=logging.NOTSET)
    return handler
