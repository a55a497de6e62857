"""A real server and a separate registry for each test, as in the tests of the backend."""

from tests.backends.zookeeper.conftest import guarded, proxy, server, session_timeout, through, url

__all__ = ["guarded", "proxy", "server", "session_timeout", "through", "url"]
