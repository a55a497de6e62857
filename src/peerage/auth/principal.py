"""Who calls, and what they may do: the claims of a verified token.

``resources`` is ``{tenant or "*": [resource, …]}``. With a tenant only the list of that tenant counts,
without one only the list under ``"*"``. ``authz:superuser`` under ``"*"`` may do everything for every
tenant; under a tenant it means nothing. Source: ASAB's authorization.
"""

import copy
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from peerage.auth.claims import LEEWAY
from peerage.auth.reasons import Reason
from peerage.errors import AccessDeniedError, TokenRefusedError

__all__ = ["SUPERUSER", "Principal"]

SUPERUSER: Final = "authz:superuser"

_GLOBAL: Final = "*"


class Principal:
    """Whoever a verified token speaks for.

    It lives as long as its token: every question about rights raises TokenRefusedError once that has expired,
    as in a WebSocket that outlives it. One object may serve many requests with the same token, so nothing of
    it can be changed.

    Args:
        claims: of the token, checked by :func:`peerage.auth.claims.check_claims`.
        internal: whether the cluster itself has signed it.
        leeway: seconds by which clocks may differ.
        clock: seconds since the epoch.
    """

    __slots__ = (
        "_claims",
        "_clock",
        "_end",
        "_resources",
        "expires_at",
        "internal",
        "issued_at",
        "superuser",
    )

    def __init__(
        self,
        claims: Mapping[str, Any],
        *,
        internal: bool = False,
        leeway: float = LEEWAY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._claims = dict(claims)
        self._clock = clock
        self._end = float(claims["exp"]) + leeway
        self._resources: dict[str, frozenset[str]] = {
            tenant: frozenset(resources) for tenant, resources in (claims.get("resources") or {}).items()
        }
        self.internal = internal
        """Whether it speaks for a service, not for a user."""
        self.issued_at = datetime.fromtimestamp(claims["iat"], UTC)
        """When the token was issued."""
        self.expires_at = datetime.fromtimestamp(claims["exp"], UTC)
        """When the token expires."""
        self.superuser = SUPERUSER in self._resources.get(_GLOBAL, ())
        """Whether the token says so, expired or not; ask :meth:`has_superuser_access`."""

    def __repr__(self) -> str:
        who = self.subject or self.issuer or "?"
        return (
            f"<Principal {who!a}{' superuser' * self.superuser} until {self.expires_at:%Y-%m-%d %H:%M:%S}Z>"
        )

    # Who

    @property
    def subject(self) -> str | None:
        """``sub``: id of the credentials."""
        return self._text("sub")

    @property
    def issuer(self) -> str | None:
        """``iss``: who issued the token."""
        return self._text("iss")

    @property
    def username(self) -> str | None:
        """``preferred_username``, else ``username``."""
        return self._text("preferred_username") or self._text("username")

    @property
    def email(self) -> str | None:
        """``email``."""
        return self._text("email")

    @property
    def phone(self) -> str | None:
        """``phone``."""
        return self._text("phone")

    @property
    def session_id(self) -> str | None:
        """``sid``: id of the session in which it was issued."""
        return self._text("sid")

    def _text(self, name: str) -> str | None:
        value = self._claims.get(name)
        return value if isinstance(value, str) else None

    # How long

    @property
    def valid(self) -> bool:
        """Whether the token hasn't expired, within the leeway."""
        return self._clock() < self._end

    def require_valid(self) -> None:
        """Raise TokenRefusedError once the token has expired."""
        if not self.valid:
            raise TokenRefusedError(Reason.EXPIRED, "It expired while it was in use.")

    # What they may do

    def resources(self, tenant: str | None = None) -> frozenset[str]:
        """Return what is allowed for *tenant*, or globally; a superuser's rights aren't spelled out.

        Raises:
            TokenRefusedError: the token has expired.
            ValueError: *tenant* is ``"*"``, which is no tenant.
        """
        self.require_valid()
        if tenant == _GLOBAL:
            raise ValueError("'*' is no tenant: write None for what is allowed globally.")
        if tenant is None:
            return self._resources.get(_GLOBAL, frozenset())
        return self._resources.get(tenant, frozenset()) - {SUPERUSER}

    def has_superuser_access(self) -> bool:
        """Tell whether everything is allowed.

        Raises:
            TokenRefusedError: the token has expired.
        """
        self.require_valid()
        return self.superuser

    def has_resource_access(self, *resources: str, tenant: str | None = None) -> bool:
        """Tell whether all of *resources* are allowed for *tenant*, or globally.

        Raises:
            TokenRefusedError: the token has expired.
            ValueError: no resource is named, or *tenant* is ``"*"``.
        """
        if not resources:
            raise ValueError("Name at least one resource.")
        return self.resources(tenant).issuperset(resources) or self.superuser

    def has_tenant_access(self, tenant: str) -> bool:
        """Tell whether anything can be allowed for *tenant*: it is in ``resources``, be its list empty.

        Raises:
            TokenRefusedError: the token has expired.
            ValueError: *tenant* is empty or ``"*"``.
        """
        self.require_valid()
        if not tenant or tenant == _GLOBAL:
            raise ValueError(f"{tenant!r} is no tenant.")
        return self.superuser or tenant in self._resources

    def require_superuser_access(self) -> None:
        """Raise AccessDeniedError, or TokenRefusedError, unless everything is allowed."""
        if not self.has_superuser_access():
            raise AccessDeniedError(f"{self!r} is no superuser.")

    def require_resource_access(self, *resources: str, tenant: str | None = None) -> None:
        """Raise AccessDeniedError, or TokenRefusedError, unless all of *resources* are allowed."""
        if not self.has_resource_access(*resources, tenant=tenant):
            raise AccessDeniedError(
                f"{self!r} lacks one of {', '.join(map(ascii, resources))}"
                f"{'' if tenant is None else f' for the tenant {tenant!a}'}."
            )

    def require_tenant_access(self, tenant: str) -> None:
        """Raise AccessDeniedError, or TokenRefusedError, unless *tenant* is one of theirs."""
        if not self.has_tenant_access(tenant):
            raise AccessDeniedError(f"{self!r} has nothing to do with the tenant {tenant!a}.")

    # Anything else

    def claim(self, name: str, default: Any = None) -> Any:
        """Return a claim, a copy of one's own.

        Raises:
            TokenRefusedError: the token has expired.
        """
        self.require_valid()
        return copy.deepcopy(self._claims.get(name, default))

    def claims(self) -> dict[str, Any]:
        """Return all claims, a copy of one's own.

        Raises:
            TokenRefusedError: the token has expired.
        """
        self.require_valid()
        return copy.deepcopy(self._claims)
