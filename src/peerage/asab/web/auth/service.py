"""The service that authorizes requests: ``asab.AuthService``."""

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from aiohttp import web
from aiohttp.typedefs import Handler

from peerage.asab.abc import Service
from peerage.asab.config import Config
from peerage.asab.contextvars import Authz, Tenant, Unverified
from peerage.asab.exceptions import AccessDeniedError, NotAuthenticatedError
from peerage.asab.parts import Phase
from peerage.asab.web.auth.authorization import Authorization
from peerage.asab.web.auth.decorator import NOAUTH
from peerage.asab.web.auth.keys import Keys
from peerage.asab.web.auth.mock import mock_principal
from peerage.asab.web.auth.settings import read_settings
from peerage.asab.web.lookup import web_containers
from peerage.auth import Reason
from peerage.auth.refusals import Refusals
from peerage.errors import AccessDeniedError as Denied
from peerage.errors import ConfigurationError, KeysUnavailableError, TokenRefusedError
from peerage.serving.authorization import unavailable
from peerage.web.authorization import is_open, take_token
from peerage.web.refusing import content

if TYPE_CHECKING:
    from peerage.asab.application import Application
    from peerage.asab.web import WebContainer

log = logging.getLogger("peerage.asab.web.auth")


class AuthService(Service):
    """Lets only requests with a valid token reach the handlers of a web container.

    It installs itself if there is exactly one web container; with several, :meth:`install` names those that
    it protects. ``[auth]`` says which tokens are valid; internal tokens of the cluster's services are, too.

    Raises:
        ValueError: the section ``[auth]`` can't be used.
    """

    peerage_phase: ClassVar[Phase] = Phase.WEB

    def __init__(self, app: "Application", service_name: str = "asab.AuthService") -> None:
        settings = read_settings(Config)
        super().__init__(app, service_name)
        self._mock = mock_principal(settings.mock_claims_path) if settings.mock else None
        self._keys = Keys(settings, app)
        self._refusals = Refusals()
        self._chosen = False
        if len(containers := web_containers(app)) == 1:
            self._protect(*containers.values())
        app.PubSub.subscribe("Application.run!", self._on_run)

    # Containers

    def install(self, web_container: "WebContainer") -> None:
        """Authorize the requests to *web_container*; nothing happens if that is done already.

        Raises:
            RuntimeError: another AuthService does it.
        """
        self._chosen = True
        self._protect(web_container)

    def peerage_prepare(self, web_container: "WebContainer") -> None:
        """Install it in *web_container*, which is about to start, if it is the only one.

        It raises ConfigurationError if there are several, and install() was called for none.
        """
        if not self._chosen:
            self._check_unambiguous()
            self._protect(web_container)

    def _check_unambiguous(self) -> None:
        containers = web_containers(self.App)
        if len(containers) > 1 and not self._chosen:
            raise ConfigurationError(
                f"There are several web containers, {', '.join(f'[{each}]' for each in containers)}, and "
                "AuthService doesn't know which of them it protects: call its install(web_container) for "
                "each one that isn't to be open to everyone."
            )

    def _protect(self, web_container: "WebContainer") -> None:
        if web_container.authorization not in {None, self._authorize}:
            raise RuntimeError("This web container has an AuthService: one is enough.")
        web_container.authorization = self._authorize

    # Requests

    async def _authenticate(self, token: str | None) -> Authorization:
        if self._mock is not None:
            return Authorization(self._mock, token)
        return Authorization(await self._keys.verifier().verify(token), token)

    async def _authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Set ``Authz``, or raise NotAuthenticatedError, AccessDeniedError or a 503."""
        if is_open(request, NOAUTH):
            unverified = Unverified.set(True)
            try:
                return await handler(request)
            finally:
                Unverified.reset(unverified)
        token, request = take_token(request)
        missing = request.match_info.http_exception
        if missing is not None and token is None:
            # There is no such route, which isn't secret; but no further middleware may answer instead.
            raise missing
        try:
            authz = await self._authenticate(token)
        except TokenRefusedError as error:
            raise missing or NotAuthenticatedError from error
        except KeysUnavailableError as error:
            raise missing or web.HTTPServiceUnavailable(**content(unavailable(error))) from error
        before = Authz.set(authz)
        try:
            _check_tenant(authz)
            return await handler(request)
        except (AccessDeniedError, NotAuthenticatedError) as error:
            cause = error.__cause__
            if isinstance(cause, Denied):
                self._refusals.note(Reason.DENIED, cause)
            elif isinstance(cause, TokenRefusedError):
                self._refusals.note(cause.reason, cause)
            raise
        finally:
            Authz.reset(before)

    # As a service

    async def initialize(self, app: "Application") -> None:  # noqa: ARG002 - the signature of each service
        """Check the configuration before the first request."""
        self._check_unambiguous()
        # A DiscoveryService may be made until the application runs.
        with suppress(KeysUnavailableError):
            if self._mock is None:
                self._keys.verifier()

    async def finalize(self, app: "Application") -> None:  # noqa: ARG002 - the signature of each service
        """Stop fetching keys."""
        await self._keys.aclose()

    def _on_run(self, _message_type: str) -> None:
        try:
            if self._mock is None:
                self._keys.check()
        except ConfigurationError as error:
            log.critical("%s can't start: %s", self.Name, error)
            raise SystemExit(1) from None


def _check_tenant(authz: Authorization) -> None:
    if Tenant.get(None) is None:
        return
    try:
        authz.require_tenant_access()
    except ValueError as error:
        # It isn't the name of a tenant.
        raise AccessDeniedError from error
