"""A WSGI application that is advertised where its server listens, and drained when that stops."""

import logging
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from peerage.calling.misdirected import DIALLED
from peerage.integrations.advertising import PortAdvertising, check_given
from peerage.integrations.django_hosts import is_django, with_hyphens
from peerage.integrations.ports import IDENTIFIED, IDENTIFY, METHOD
from peerage.integrations.synchronous import Discovery
from peerage.integrations.wsgi.messages import App, Environ, StartResponse, header, refuse
from peerage.integrations.wsgi.propagation import propagate
from peerage.integrations.wsgi.stopping import DrainAtSigterm
from peerage.records.advert import Advert
from peerage.registration import LAME_DUCK
from peerage.serving.gunicorn_workers import in_each_worker, this_worker
from peerage.serving.misdirected import Misdirected

log = logging.getLogger(__name__)


def discovered(
    app: App,
    discovery: Discovery | None = None,
    advert: Advert | None = None,
    *,
    port: int | None = None,
    lame_duck: float = LAME_DUCK,
    **of_discovery: Any,
) -> "Discovered":
    """Return *app* as an application that others find, and whose server stops without a failed call.

    ::

        app = Flask(__name__)
        app.wsgi_app = discovered(app.wsgi_app, service_id="orders")

    It is for gunicorn with its workers ``sync`` and ``gthread``. All workers are one instance: one of them
    advertises the port that they share, and if it ends, another one does.

    At SIGTERM the record says that no new requests are wanted, and is withdrawn after *lame_duck* seconds;
    until then each worker goes on serving. Then gunicorn stops as it does by itself. At SIGINT and SIGQUIT it
    stops at once. With ``--preload``, gunicorn needs :mod:`peerage.integrations.gunicorn` as well.

    Requests that are meant for another service are refused, and deadlines of callers hold, as with
    :func:`peerage.web.run_app`. Views find the Discovery as ``environ["peerage.discovery"]``.

    Django refuses hosts with an underscore: it sees ``orders.service-id.asab``, which is the same name as
    ``orders.service_id.asab``, and must be among its ``ALLOWED_HOSTS``, as ``".asab"``.

    Under another server, advertising begins with the first request, or with :meth:`Discovered.start`.

    Args:
        app: the outermost application.
        discovery: advertises it; by default one made of *of_discovery*.
        advert: what is advertised beside the port.
        port: the port on which the server listens; by default it is searched for.
        lame_duck: seconds to wait between publishing that it drains and withdrawing.
        of_discovery: arguments of :class:`peerage.sync.Discovery`.

    Raises:
        TypeError: both *discovery* and arguments for one are given.
        ConfigurationError: the registry's URL can't work, or a name that no URL can contain, or gunicorn
            preloads the application without the hook.
    """
    check_given(discovery, of_discovery)
    return Discovered(app, discovery or Discovery(**of_discovery), advert, port=port, lame_duck=lame_duck)


class Discovered:
    """A WSGI application; made by :func:`discovered`, whose arguments these are."""

    def __init__(
        self,
        app: App,
        discovery: Discovery,
        advert: Advert | None = None,
        *,
        port: int | None = None,
        lame_duck: float = LAME_DUCK,
    ) -> None:
        self.discovery = discovery
        """Finds and calls others, as in ``environ["peerage.discovery"]``."""
        self._app = propagate(app)
        self._is_django = is_django(app)
        self._advert = advert
        self._port = port
        self._lame_duck = lame_duck
        self._here: _InProcess | None = None
        self._lock = threading.Lock()
        in_each_worker(self.start)

    def start(self) -> None:
        """Advertise from now on, and drain at SIGTERM; gunicorn's workers need no call of this.

        Call it in the main thread of the process that serves, when its server has installed its handlers of
        signals; further calls have no effect. In another thread, the instance is advertised, but not drained.
        """
        self._started()

    def _started(self) -> "_InProcess":
        here = self._here
        if here is None or here.pid != os.getpid():
            with self._lock:
                here = self._here
                if here is None or here.pid != os.getpid():
                    here = self._here = _InProcess(self.discovery, self._advert, self._port, self._lame_duck)
        return here

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle a request."""
        here = self._started()
        name = here.advertising.identification
        if environ["REQUEST_METHOD"] == METHOD and header(environ, IDENTIFY) == name:
            start_response(f"{IDENTIFIED} No Content", [(IDENTIFY, name)])
            return []
        dialled = header(environ, DIALLED)
        if dialled is not None:
            host = environ.get("HTTP_HOST", "")
            refusal = here.misdirected.refuse([dialled], _local_address(environ), host)
            if refusal is not None:
                return refuse(start_response, refusal)
        environ["peerage.discovery"] = self.discovery
        if self._is_django and "HTTP_HOST" in environ:
            environ["HTTP_HOST"] = with_hyphens(environ["HTTP_HOST"])
        return self._app(environ, start_response)


class _InProcess:
    """What the application has in one process."""

    def __init__(
        self, discovery: Discovery, advert: Advert | None, port: int | None, lame_duck: float
    ) -> None:
        self.pid = os.getpid()
        self._portal = discovery.portal
        self._lame_duck = lame_duck
        opened = self._portal.get()

        async def begin() -> PortAdvertising:
            advertising = PortAdvertising(opened, advert, port)
            advertising.start()
            return advertising

        self.advertising = self._portal.run(begin())
        self.misdirected = Misdirected([self.advertising])
        self._worker = this_worker()
        # A worker may end while its server goes on, as after --max-requests. Its record isn't withdrawn then:
        # in ZooKeeper it stays for the session time-out, and callers use the port, which the next worker
        # serves.
        self._portal.closes_at_exit = self._worker is None
        if threading.current_thread() is threading.main_thread():
            DrainAtSigterm(lambda: self._portal.submit(self._drain()), self._stop).install()
        else:
            log.warning(
                "The server will stop without draining, because only the main thread can prepare that: call "
                "start() of the application there before the server begins."
            )

    def _stop(self) -> None:
        self._portal.closes_at_exit = True

    async def _drain(self) -> None:
        """Drain if the server stops; else wait until another worker advertises, if one comes in time."""
        if await self.advertising.handed_over(self._worker, self._lame_duck):
            return
        log.info("SIGTERM: the instance drains, and then the server stops")
        self._portal.closes_at_exit = True
        await self.advertising.drain(self._lame_duck)


def _local_address(environ: Environ) -> Any:
    """Return this end of the connection, as far as the server tells it: gunicorn and Werkzeug do."""
    connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if connection is not None:
        with suppress(OSError):  # the client has closed it
            return connection.getsockname()
    return None
