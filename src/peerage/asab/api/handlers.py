"""The HTTP endpoints of every service: what it is, how it is configured."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from peerage.asab.config import Config
from peerage.asab.contextvars import Authz
from peerage.asab.exceptions import NotAuthenticatedError
from peerage.asab.web.rest import json_response

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["add_endpoints"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HIDDEN: Final = "***"

#: Words in the names of sections, options and variables whose values nobody is shown.
_SECRET: Final = re.compile(
    r"pass|pwd|secret|token|key|credential|private|cookie|auth|salt|signature|certificate|dsn", re.IGNORECASE
)

#: Who enters, in a URL.
_USERINFO: Final = re.compile(r"(?<=//)[^/\s@]*@")


def add_endpoints(
    app: "Application", router: web.UrlDispatcher, manifest: dict[str, Any] | None, changelog: str | None
) -> None:
    """Add ``/asab/v1/manifest``, ``changelog``, ``config`` and ``environ`` to *router*.

    The last two are for superusers if there is an AuthService, else for nobody, unless
    ``[api] expose_config`` says so: behind a proxy everybody comes from this machine.
    """

    async def get_manifest(request: web.Request) -> web.StreamResponse:
        """Return the manifest."""
        if manifest is None:
            raise web.HTTPNotFound
        return json_response(request, manifest)

    async def get_changelog(_: web.Request) -> web.StreamResponse:
        """Return the change log."""
        if changelog is None:
            raise web.HTTPNotFound
        text = await asyncio.to_thread(Path(changelog).read_text, encoding="utf-8")
        return web.Response(text=text, content_type="text/markdown")

    async def get_config(request: web.Request) -> web.StreamResponse:
        """Return the configuration, without secrets."""
        _check_may_look(app)
        return json_response(request, _configuration())

    async def get_environ(request: web.Request) -> web.StreamResponse:
        """Return the environment, without secrets."""
        _check_may_look(app)
        return json_response(request, {name: _shown(name, value) for name, value in os.environ.items()})

    for name, handler, public in (
        ("manifest", get_manifest, True),
        ("changelog", get_changelog, True),
        ("config", get_config, False),
        ("environ", get_environ, False),
    ):
        router.add_get(f"/asab/v1/{name}", _marked(handler, public=public))


def _marked(handler: Handler, *, public: bool) -> Handler:
    """Say of a handler whether it needs a valid token, and that it needs no tenant."""
    if public:
        handler.NoAuth = True  # type: ignore[attr-defined] # where authorization looks
    handler.AllowNoTenant = True  # type: ignore[attr-defined] # likewise
    return handler


def _check_may_look(app: "Application") -> None:
    if app.get_service("asab.AuthService") is None:
        if not Config.getboolean("api", "expose_config", fallback=False):
            raise web.HTTPNotFound
        return
    authz = Authz.get(None)
    if authz is None:
        raise NotAuthenticatedError
    authz.require_superuser_access()


def _configuration() -> dict[str, dict[str, str]]:
    return {
        section: {
            option: _HIDDEN if _SECRET.search(section) else _shown(option, value)
            # As written: what it refers to may be secret.
            for option, value in Config.items(section, raw=True)
        }
        for section in Config.sections()
    }


def _shown(name: str, value: str) -> str:
    return _HIDDEN if _SECRET.search(name) else _USERINFO.sub(f"{_HIDDEN}@", value)
