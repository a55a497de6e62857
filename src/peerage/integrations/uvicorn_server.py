"""What a worker of uvicorn does by itself that makes calls fail, and how it can drain before.

Nothing of this is documented: under a version of uvicorn that works otherwise it has no effect.
"""

import signal
from typing import Any

from peerage.serving.listeners import stop_accepting


class UvicornServer:
    """The server of this process, if it is uvicorn; also as a worker of gunicorn.

    Make it in the main thread, when the application starts and before SIGTERM is intercepted.

    It takes over the limit of requests after which a worker is replaced (``--limit-max-requests``, and
    gunicorn's ``--max-requests``). There uvicorn closes its idle connections without a signal, so that
    requests fail that are sent at that moment.
    """

    def __init__(self) -> None:
        # SIGTERM is handled by a method of the server.
        handler = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        self._server: Any = handler if type(handler).__module__ == "uvicorn.server" else None
        self._limit = self._take_limit()
        self.stops_by_itself = False
        """Whether the limit of requests is reached."""

    def limit_reached(self) -> bool:
        """Tell once whether the limit of requests is reached."""
        if self._limit is None or self._server.server_state.total_requests < self._limit:
            return False
        self._limit = None
        self.stops_by_itself = True
        return True

    def stop_accepting(self) -> bool:
        """Accept no more connections, and tell whether that was possible.

        When uvicorn stops, it closes a new connection whose request hasn't arrived yet. As long as other
        workers listen on the same socket, callers go on connecting to it, and those accept them then.
        """
        servers = getattr(self._server, "servers", ())
        stop_accepting(servers)
        return bool(servers)

    def _take_limit(self) -> int | None:
        config = getattr(self._server, "config", None)
        # Newer versions add a random number to what is configured.
        limit = getattr(self._server, "limit_max_requests", None) or getattr(
            config, "limit_max_requests", None
        )
        if limit is None or not hasattr(getattr(self._server, "server_state", None), "total_requests"):
            return None
        self._server.config.limit_max_requests = self._server.limit_max_requests = None
        return int(limit)
