"""The service that knows tenants: ``asab.TenantService``."""

import asyncio
import json
import logging
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from peerage.asab.config import Config
from peerage.asab.log import LOG_NOTICE
from peerage.asab.parts import Floor
from peerage.asab.service import Service
from peerage.asab.web.neighbours import only_container, open_session
from peerage.asab.web.tenant.context import tenant_of_the_url
from peerage.auth.fetched_keys import without_credentials
from peerage.client.fetch import fetch_document
from peerage.errors import ConfigurationError

if TYPE_CHECKING:
    from peerage.asab.application import Application
    from peerage.asab.web import WebContainer

__all__ = ["TenantService"]

log = logging.getLogger("peerage.asab.web.tenant")

#: Seconds that the server of tenants has for an answer, and between two questions because of unknown tenants.
_PATIENCE: Final = 5.0
_COOL_DOWN: Final = 10.0


class TenantService(Service):
    """Sets the tenant of requests: one of those in ``[tenants] ids``, or listed at ``tenant_url``.

    It installs itself if there is exactly one web container. With an AuthService, whoever sends a request
    needs rights of its tenant.

    Args:
        app: the application.
        service_name: the name to register under.
        auto_install_web_wrapper: whether to install itself.

    Raises:
        ConfigurationError: the section ``[tenants]`` can't be used.
    """

    peerage_floor: ClassVar[Floor] = Floor.WEB

    def __init__(
        self,
        app: "Application",
        service_name: str = "asab.TenantService",
        auto_install_web_wrapper: bool = True,  # noqa: FBT001, FBT002 - documented so
    ) -> None:
        ids = Config.get("tenants", "ids", fallback="")
        self._url = Config.get("tenants", "tenant_url", fallback="").strip()
        if Config.get("tenants", "zk_path", fallback=""):
            raise ConfigurationError("[tenants] zk_path isn't supported: write ids or tenant_url.")
        self._fetch = partial(fetch_document, partial(open_session, app), self._url) if self._url else None
        super().__init__(app, service_name)
        self._configured = {each for each in re.split(r"[,\s]+", ids) if each and each[0] not in "#;"}
        self._fetched: set[str] = set()
        self._asked: float | None = None
        self._problem: str | None = None
        self._asking: asyncio.Task[None] | None = None
        self._ready = not self._url
        self._automatic = auto_install_web_wrapper
        self._step = tenant_of_the_url(self.is_tenant_known)
        self._installed = False
        if not ids and not self._url:
            log.error(
                "There are no tenants, so each request is answered 404: write [tenants] ids or tenant_url"
            )
        self._install_in_the_only_one()
        app.PubSub.subscribe("Application.tick/300!", self._on_tick)

    # Where

    def install(self, web_container: "WebContainer") -> None:
        """Set the tenant of what comes to *web_container*; nothing happens if that is done already."""
        web_container.tenants = self._step
        self._installed = True

    def peerage_prepare(self, web_container: "WebContainer") -> None:  # noqa: ARG002 - as of AuthService
        """Install it, if nobody has said where, before a container starts."""
        if not self._installed:
            self._install_in_the_only_one()

    def _install_in_the_only_one(self) -> None:
        container = only_container(self.App)
        if self._automatic and container is not None:
            self.install(container)

    # Which

    async def get_tenants(self) -> set[str]:
        """Return all tenants, as they are now."""
        await self.update_tenants()
        return self._configured | self._fetched

    async def is_tenant_known(self, tenant: str | None) -> bool:
        """Tell whether there is such a tenant; an unknown one is asked about, though not each time."""
        if tenant is None:
            return False
        if tenant not in self._configured | self._fetched and self._may_ask():
            await self.update_tenants()
        return tenant in self._configured | self._fetched

    async def update_tenants(self) -> None:
        """Ask for the tenants at ``tenant_url``; several callers wait for the same answer."""
        self._begin()
        if self._asking is not None:
            await asyncio.wait([self._asking])

    def is_ready(self) -> bool:
        """Tell whether the tenants are known."""
        return self._ready

    def _may_ask(self) -> bool:
        return self._asked is None or time.monotonic() >= self._asked + _COOL_DOWN

    async def _ask(self) -> None:
        assert self._fetch is not None  # noqa: S101 - for mypy: who calls has looked
        try:
            async with asyncio.timeout(_PATIENCE):
                found = json.loads(await self._fetch())
            if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
                raise ValueError("it is no JSON list of texts")  # noqa: TRY301 - told as one kind
        except Exception as error:  # noqa: BLE001 - whatever it is: what is known stays, and it is told
            self._complain(str(error) or type(error).__name__)
            self._tell(ready=False)
            return
        self._problem = None
        if {*found} != self._fetched:
            self._fetched = {*found}
            self.App.PubSub.publish("Tenants.change!")
        self._tell(ready=True)

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("Tenants of %s aren't known: %s", without_credentials(self._url), problem)

    def _tell(self, *, ready: bool) -> None:
        if ready != self._ready:
            self._ready = ready
            log.log(LOG_NOTICE, "is ready." if ready else "is NOT ready.")
            self.App.PubSub.publish("Tenants.ready!" if ready else "Tenants.not_ready!", self)

    # Life

    async def initialize(self, app: "Application") -> None:  # noqa: ARG002 - as of each service
        """Begin to ask, without waiting for an answer."""
        self._begin()

    async def finalize(self, app: "Application") -> None:  # noqa: ARG002 - as of each service
        """Stop asking."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def _on_tick(self, *_: Any) -> None:
        self._begin()

    def _begin(self) -> None:
        if self._fetch is not None and (self._asking is None or self._asking.done()):
            self._asked = time.monotonic()
            name = f"peerage.asab: tenants of {without_credentials(self._url)}"
            self._asking = asyncio.create_task(self._ask(), name=name)
