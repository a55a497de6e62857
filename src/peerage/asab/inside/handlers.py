"""The HTTP endpoints of the real asab's ApiService, with its handlers."""

import logging
import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from peerage.asab.endpoints.handlers import add_settings

if TYPE_CHECKING:
    from peerage.asab.ports import Api, Framework

__all__ = ["add_endpoints"]


def add_endpoints(app: Any, framework: "Framework", api: "Api", container: Any) -> None:
    """Add ``/asab/v1/…`` and ``/doc`` to a web container."""
    webapp = container.WebApp
    logs = _log_handler(app)
    logging.getLogger().addHandler(logs)
    import_module("asab.api.web_handler").APIWebHandler(api, webapp, logs)
    import_module("asab.api.doc").DocWebHandler(api, app, container)
    metrics = app.get_service("asab.MetricsService")
    if metrics is not None:
        import_module("asab.metrics.web_handler").MetricWebHandler(metrics, webapp)
    add_settings(webapp.router, app, framework)


def _log_handler(app: Any) -> logging.Handler:
    base: Any = import_module("asab.api.log").WebApiLoggingHandler

    class WebApiLoggingHandler(base):  # type: ignore[misc] # known at run time
        """The framework's handler, which sends to WebSockets, made safe for records of other threads."""

        def emit(self, record: logging.LogRecord) -> None:
            if threading.get_ident() == home:
                super().emit(record)
            else:
                with suppress(RuntimeError):  # the loop is closed, and so are its WebSockets
                    app.Loop.call_soon_threadsafe(super().emit, record)

    home = threading.get_ident()
    handler: logging.Handler = WebApiLoggingHandler(app, level=logging.NOTSET)
    return handler
