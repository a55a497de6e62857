"""A web server: an aiohttp application and the addresses on which it listens."""

import errno
import logging
import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_exceptions import NotAppKeyWarning

from peerage import __version__
from peerage.asab.absent import REAL_ASAB
from peerage.asab.config import Configurable
from peerage.asab.contextvars import Request
from peerage.asab.exceptions import AccessDeniedError, NotAuthenticatedError
from peerage.asab.parts import Part, Phase
from peerage.asab.tls import SSLContextBuilder
from peerage.asab.web.accesslog import ACCESS_LOG, AccessLogger
from peerage.asab.web.listen import Line, read_listen
from peerage.asab.web.lookup import requiring
from peerage.errors import ConfigurationError
from peerage.web import propagate, refuse_misdirected
from peerage.web.stopping import GracefulStop

if TYPE_CHECKING:
    import ssl

    from peerage.asab.application import Application
    from peerage.asab.web.service import WebService

log = logging.getLogger(__name__)

#: Options of ASAB that this layer doesn't have.
_CUT: Final = ("rootdir", "cors")

#: Seconds that requests under way have at the end before services are finalized beside them.
HEAD_START: Final = 3.0


@web.middleware
async def _set_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    token = Request.set(request)
    try:
        return await handler(request)
    except (NotAuthenticatedError, AccessDeniedError) as error:
        if request.writer.output_size:
            # A response has begun, such as a WebSocket; a second one would be read as part of it.
            raise ConnectionResetError("The response had begun when the request was refused.") from error
        raise
    finally:
        Request.reset(token)


class WebContainer(Configurable):
    """A web server of the application; routes are added to ``WebApp.router``.

    It listens once all services are initialized. At the end requests under way are finished. Requests that
    another service's record brought here are refused (:func:`peerage.web.refuse_misdirected`). Deadlines of
    callers hold (:func:`peerage.web.propagate`), but handlers that change something aren't cancelled.

    Args:
        websvc: the service ``asab.WebService``.
        config_section_name: the section of its settings.
        config: settings of the program, which win over it.

    Raises:
        ConfigurationError: a setting is invalid; of ``listen`` it is a RuntimeError as well.
    """

    ConfigDefaults: ClassVar[dict[str, Any]] = {
        "listen": "0.0.0.0 8080",  # may have several lines
        "backlog": 128,
        "servertokens": "full",  # the Server header: 'full' or 'prod'
        "body_max_size": 1024**2,
    }

    def __init__(
        self, websvc: "WebService", config_section_name: str, config: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(config_section_name, config)
        self._app = websvc.App
        self.section = config_section_name
        """The section of its settings."""
        self.Addresses: list[Any] | None = None
        """The addresses it is bound to, as sockets have them; None before ``WebContainer.started!``."""
        self.BackLog = int(self.Config["backlog"])
        for option in _CUT:
            if self.Config.get(option):
                raise ConfigurationError(
                    f"[{config_section_name}] {option}={self.Config[option]}: peerage.asab has no such "
                    f"option. {REAL_ASAB}"
                )
        self.ServerTokens = (
            "peerage" if self.Config["servertokens"] == "prod" else f"{SERVER_SOFTWARE} peerage/{__version__}"
        )
        self._listen = [
            (line, self._ssl_context(line))
            for line in read_listen(self.Config["listen"], config_section_name)
        ]
        if not self._listen:
            log.warning("[%s] listen is empty, so this container doesn't listen", config_section_name)

        self.WebApp = web.Application(
            client_max_size=int(self.Config["body_max_size"]),
            middlewares=[refuse_misdirected(websvc), propagate(only_safe=True), _set_request],
        )
        """The aiohttp application; ``WebApp["app"]`` is this one's."""
        self._graceful = GracefulStop(self.WebApp)
        self.authorization: Middleware | None = None
        """Passes requests with a valid token, if there is an AuthService."""
        self.WebApp.on_startup.append(self._on_startup)
        self.WebApp.on_response_prepare.append(self._on_response_prepare)
        with warnings.catch_warnings():
            # The documented key is a text; aiohttp recommends web.AppKey.
            warnings.simplefilter("ignore", NotAppKeyWarning)
            self.WebApp["app"] = websvc.App
        self.WebAppRunner = web.AppRunner(
            self.WebApp,
            handle_signals=False,
            access_log=logging.getLogger(ACCESS_LOG),
            access_log_class=AccessLogger,
        )
        self._app.PubSub.subscribe("Application.stop!", self._on_stop)
        websvc.Containers[config_section_name] = self
        name = f"WebContainer [{config_section_name}]"
        self._app._enlist(Part(name, Phase.WEB, self._start, self._stop, self._drain))  # noqa: SLF001 - of this layer

    def get_ports(self) -> list[int]:
        """Return the configured ports, one for each address."""
        return [line.port for line, _ in self._listen]

    def _ssl_context(self, line: Line) -> "ssl.SSLContext | None":
        if line.ssl is None:
            return None
        # The container's section wins over the section of TLS.
        section = line.ssl or self.section
        builder = SSLContextBuilder(section, config=self.Config)
        if not builder.Config["cert"]:
            # As in ASAB, it listens nevertheless.
            log.error(
                "[%s] listen=%s %d: no client can connect without a certificate. Set cert and key in [%s]",
                *(self.section, line.address, line.port, section),
            )
        return builder.build()

    # As a part of the application

    async def _on_startup(self, webapp: web.Application) -> None:
        for service in tuple(self._app.Services.values()):
            prepare = getattr(service, "peerage_prepare", None)
            if prepare is not None:
                prepare(self)

        # After the program's middlewares, which may change the answer to a refused request.
        webapp.middlewares.append(self._authorize)

    @web.middleware
    async def _authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        # Looked up for each request: AuthService may be installed later.
        if self.authorization is None:
            return await handler(request)
        return await self.authorization(request, handler)

    async def _start(self, app: "Application") -> None:
        await self.WebAppRunner.setup()
        routes = [] if self.authorization is not None else requiring(self.WebApp)
        if routes:
            log.error(
                "[%s]: %s require authorization and there is no AuthService here, so each answers 403. Make "
                "asab.web.auth.AuthService(app), or install() it in this web container as well",
                *(self.section, ", ".join(routes)),
            )
        for line, ssl_context in self._listen:
            await self._bind(line, ssl_context)
        bound = list(dict.fromkeys(self.WebAppRunner.addresses))
        if self._listen and not bound:
            raise ConfigurationError(
                f"[{self.section}] listen: no line could be bound; the log has the reason for each."
            )
        self.Addresses = bound
        app.PubSub.publish("WebContainer.started!", self)

    async def _bind(self, line: Line, ssl_context: "ssl.SSLContext | None") -> None:
        site = web.TCPSite(
            self.WebAppRunner, line.address, line.port, backlog=self.BackLog, ssl_context=ssl_context
        )
        before = len(self.WebAppRunner.addresses)
        reason: object = "the system has no such addresses"
        try:
            await site.start()
            if len(self.WebAppRunner.addresses) > before:
                return
        except (OSError, UnicodeError) as error:
            reason = error
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                listening = {(":" in address, port) for address, port, *_ in self.WebAppRunner.addresses}
                if (":" in line.address, line.port) not in listening:
                    raise ConfigurationError(
                        f"[{self.section}] listen: port {line.port} of {line.address} is in use. Stop the "
                        "process that listens there, or configure another port."
                    ) from error
                reason = "an earlier line listens there"
        if line.optional:
            log.warning(
                "[%s] listen=%d is served on IPv4 only: %s. Write 0.0.0.0 %d to listen on IPv4 only",
                *(self.section, line.port, reason, line.port),
            )
        else:
            log.error("[%s] listen=%s %d can't be bound: %s", self.section, line.address, line.port, reason)

    def _on_stop(self, _message_type: str, *_: Any) -> None:
        # Connections close after their answer, so that the next request goes to another instance.
        self._graceful.close_connections()

    async def _drain(self, _app: "Application") -> None:
        """Accept no new connections, and give requests under way a head start."""
        await self._graceful.finish(self.WebAppRunner, HEAD_START, break_off=False)

    async def _stop(self, app: "Application") -> None:
        await self._graceful.stop(self.WebAppRunner, cleanup=partial(self._clean_up, app))

    async def _clean_up(self, app: "Application") -> None:
        app.PubSub.publish("WebContainer.stopped!", self)
        await self.WebAppRunner.cleanup()

    async def _on_response_prepare(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = self.ServerTokens
