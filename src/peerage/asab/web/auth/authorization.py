"""The identity and the rights of a request's sender: ``asab.contextvars.Authz.get()``."""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from peerage.asab.contextvars import Tenant
from peerage.asab.exceptions import AccessDeniedError, NotAuthenticatedError
from peerage.auth import SUPERUSER, Principal
from peerage.errors import AccessDeniedError as Denied
from peerage.errors import TokenRefusedError

if TYPE_CHECKING:
    from datetime import datetime

log = logging.getLogger(__name__)

_T = TypeVar("_T")

SUPERUSER_RESOURCE_ID: Final = SUPERUSER


class Authorization:
    """A :class:`peerage.auth.Principal` with ASAB's names, on behalf of the tenant in context.

    Methods about rights raise NotAuthenticatedError once the token has expired. Without a tenant in context
    the global resources count, otherwise only those of that tenant; a superuser may do everything.

    Args:
        claims: the claims of a token, or a principal.
        id_token: the token itself, which sessions relay; None if there is none.

    Raises:
        NotAuthenticatedError: the claims lack ``iat`` or ``exp``.
    """

    def __init__(self, claims: Mapping[str, Any] | Principal | None, id_token: str | None = None) -> None:
        try:
            principal = claims if isinstance(claims, Principal) else Principal(claims or {})
        except KeyError as error:
            log.error("An authorization without %s can't be used", error)  # noqa: TRY400 - the key is all there is to log
            raise NotAuthenticatedError from error
        self._principal = principal
        self.IdToken = id_token
        """The token that was verified."""
        self.Internal = principal.internal
        """Whether it is the internal token of another service."""
        self.CredentialsId: str | None = principal.subject
        """Id of the credentials, ``sub``."""
        self.Username: str | None = principal.username
        self.Email: str | None = principal.email
        self.Phone: str | None = principal.phone
        self.SessionId: str | None = principal.session_id
        self.Issuer: str | None = principal.issuer
        self.IssuedAt: datetime = principal.issued_at
        self.Expiration: datetime = principal.expires_at

    def __repr__(self) -> str:
        return f"<Authorization {self._principal!r}>"

    # Expiration

    def is_valid(self) -> bool:
        """Tell whether the token hasn't expired."""
        return self._principal.valid

    def require_valid(self) -> None:
        """Raise NotAuthenticatedError if the token has expired."""
        _ask(self._principal.require_valid)

    # Rights

    def has_superuser_access(self) -> bool:
        """Tell whether everything is allowed."""
        return _ask(self._principal.has_superuser_access)

    def has_resource_access(self, *resources: str) -> bool:
        """Tell whether all of *resources* are allowed.

        Raises:
            ValueError: no resource is given.
        """
        return _ask(self._principal.has_resource_access, *resources, tenant=Tenant.get(None))

    def has_tenant_access(self) -> bool:
        """Tell whether the tenant in context is one of the sender's.

        Raises:
            ValueError: there is no tenant in context.
        """
        return _ask(self._principal.has_tenant_access, _tenant())

    def require_superuser_access(self) -> None:
        """Raise AccessDeniedError unless everything is allowed."""
        _ask(self._principal.require_superuser_access)

    def require_resource_access(self, *resources: str) -> None:
        """Raise AccessDeniedError unless all of *resources* are allowed."""
        _ask(self._principal.require_resource_access, *resources, tenant=Tenant.get(None))

    def require_tenant_access(self) -> None:
        """Raise AccessDeniedError unless the tenant in context is one of the sender's."""
        _ask(self._principal.require_tenant_access, _tenant())

    # Claims

    def user_info(self) -> dict[str, Any]:
        """Return all claims."""
        return _ask(self._principal.claims)

    def get_claim(self, key: str, default: Any = None) -> Any:
        """Return a claim."""
        return _ask(self._principal.claim, key, default)


def _tenant() -> str:
    tenant = Tenant.get(None)
    if tenant is None:
        raise ValueError("No tenant in context: set it with asab.contextvars.tenant_context(…).")
    return tenant


def _ask(question: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
    """Return the answer of the principal; turn a refusal into the exception that answers the request."""
    try:
        return question(*args, **kwargs)
    except TokenRefusedError as error:
        raise NotAuthenticatedError from error
    except Denied as error:
        raise AccessDeniedError from error
