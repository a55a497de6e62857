"""The request being handled: set in its handler, and in the tasks that the handler starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp.web

Request: ContextVar["aiohttp.web.Request"] = ContextVar("Request")
"""The request itself."""

Authz: ContextVar[Any] = ContextVar("Authz")
"""The Authorization of its sender; set where requests are authorized."""

Tenant: ContextVar[str | None] = ContextVar("Tenant")
"""The tenant on whose behalf it is handled."""

Unverified: ContextVar[bool] = ContextVar("Unverified", default=False)
"""Whether its token wasn't verified, in an application that verifies tokens."""


@contextmanager
def tenant_context(tenant: str | None) -> Iterator[str | None]:
    """Act on behalf of *tenant* within ``with``."""
    token = Tenant.set(tenant)
    try:
        yield tenant
    finally:
        Tenant.reset(token)
