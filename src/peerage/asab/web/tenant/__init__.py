"""On behalf of which tenant a request is handled: said by its URL, known by :class:`TenantService`."""

from typing import TYPE_CHECKING, Any, Final

from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.asab.web.tenant.context import allow_no_tenant
    from peerage.asab.web.tenant.service import TenantService

_HOME_OF: Final = {"TenantService": "service", "allow_no_tenant": "context"}

__all__ = ["TenantService", "allow_no_tenant"]

_load: Final = loader(__name__, globals(), _HOME_OF, frozenset({"context", "service"}))


def __getattr__(name: str) -> Any:
    return _load(name)


def __dir__() -> list[str]:
    return [*__all__]
