"""What is known about the request being handled: in a handler, and in everything it calls and starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp.web

__all__ = ["Authz", "Request", "Tenant", "Unverified", "tenant_context"]

Request: ContextVar["aiohttp.web.Request"] = ContextVar("Request")
"""The request itself."""

Authz: ContextVar[Any] = ContextVar("Authz")
"""Who sent it and what they may do; set where requests are authorized."""

Tenant: ContextVar[str | None] = ContextVar("Tenant")
"""On behalf of which tenant."""

Unverified: ContextVar[bool] = ContextVar("Unverified", default=False)
"""Whether nobody looked at its token, in an application that does."""


@contextmanager
def tenant_context(tenant: str | None) -> Iterator[str | None]:
    """Act on behalf of *tenant* within ``with``."""
    token = Tenant.set(tenant)
    try:
        yield tenant
    finally:
        Tenant.reset(token)
