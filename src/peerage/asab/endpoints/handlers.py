"""The HTTP endpoints of every service: manifest, change log, configuration, environment."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from peerage.asab.endpoints.hiding import HIDDEN, is_secret, shown
from peerage.asab.exceptions import NotAuthenticatedError
from peerage.asab.web.rest import json_response

if TYPE_CHECKING:
    from configparser import RawConfigParser
    from contextvars import ContextVar

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_description(
    router: web.UrlDispatcher, manifest: dict[str, Any] | None, changelog: str | None
) -> None:
    """Add ``/asab/v1/manifest`` and ``/asab/v1/changelog``, which are open to all callers."""

    async def get_manifest(request: web.Request) -> web.StreamResponse:
        """Return the manifest."""
        if manifest is None:
            raise web.HTTPNotFound
        return json_response(request, manifest)

    async def get_changelog(_: web.Request) -> web.StreamResponse:
        """Return the change log."""
        if changelog is None:
            raise web.HTTPNotFound
        text = await asyncio.to_thread(Path(changelog).read_text, encoding="utf-8", errors="replace")
        return web.Response(text=text, content_type="text/markdown")

    _add(router, "manifest", get_manifest, public=True)
    _add(router, "changelog", get_changelog, public=True)


def add_settings(
    router: web.UrlDispatcher, app: Any, config: "RawConfigParser", authorization: "ContextVar[Any]"
) -> None:
    """Add ``/asab/v1/config`` and ``/asab/v1/environ``.

    With an AuthService they are for superusers, else they answer 404 unless ``[api] expose_config`` is set. A
    check of the client's address would be no protection: behind a proxy it is always local.
    """

    def check_may_look() -> None:
        if app.get_service("asab.AuthService") is None:
            if not config.getboolean("api", "expose_config", fallback=False):
                raise web.HTTPNotFound
            return
        authz = authorization.get(None)
        if authz is None:
            raise NotAuthenticatedError
        authz.require_superuser_access()

    async def get_config(request: web.Request) -> web.StreamResponse:
        """Return the configuration, without secrets."""
        check_may_look()
        return json_response(request, _configuration(config))

    async def get_environ(request: web.Request) -> web.StreamResponse:
        """Return the environment, without secrets."""
        check_may_look()
        return json_response(request, {name: shown(name, value) for name, value in os.environ.items()})

    _add(router, "config", get_config)
    _add(router, "environ", get_environ)


def _add(router: web.UrlDispatcher, name: str, handler: Handler, *, public: bool = False) -> None:
    """Add a handler that needs no tenant, and if it is *public*, no valid token."""
    if public:
        handler.NoAuth = True  # type: ignore[attr-defined] # read by authorization
    handler.AllowNoTenant = True  # type: ignore[attr-defined] # read by TenantService of the real asab
    router.add_get(f"/asab/v1/{name}", handler)


def _configuration(config: "RawConfigParser") -> dict[str, dict[str, str]]:
    return {
        section: {
            option: HIDDEN if is_secret(section) else shown(option, value)
            # Without interpolation: the value it refers to may be secret.
            for option, value in config.items(section, raw=True)
        }
        for section in config.sections()
    }
