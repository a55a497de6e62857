"""A real server, and a registry of each test's own on it, as the backend's tests have them."""

from tests.backends.zookeeper.conftest import guarded, proxy, server, session_timeout, through, url

__all__ = ["guarded", "proxy", "server", "session_timeout", "through", "url"]
