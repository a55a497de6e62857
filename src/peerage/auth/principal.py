"""The caller that a verified token identifies, and what the token allows.

``resources`` is ``{tenant or "*": [resource, …]}``. With a tenant, only the list of that tenant counts;
without one, only the list under ``"*"``. ``authz:superuser`` under ``"*"`` allows everything for every
tenant; under a tenant it means nothing. Source: ASAB's authorization.
"""

import copy
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from peerage.auth.claims import LEEWAY
from peerage.auth.refusals import Reason
from peerage.errors import AccessDeniedError, TokenRefusedError
from peerage.timing import monotonic, wall_clock

SUPERUSER: Final = "authz:superuser"

_GLOBAL: Final = "*"

#: A list that gets the denials of this context, for servers whose frameworks don't show the exceptions that
#: they answer; None where none is wanted.
denials: ContextVar[list[TokenRefusedError | AccessDeniedError] | None] = ContextVar("denials", default=None)


class Principal:
    """The caller that a verified token identifies.

    It is valid as long as its token: every question about rights or claims raises TokenRefusedError once the
    token has expired, for example in a WebSocket that is open for longer. One object may serve many requests
    with the same token, so it is immutable.

    Args:
        claims: of the token, accepted by :func:`peerage.auth.claims.check_claims`.
        internal: whether a service has signed it, not the issuer of users' tokens.
        clock: seconds since the epoch.
        monotonic: monotonic seconds; a token also ends if *clock* is set back meanwhile.
    """

    internal: bool
    """Whether the caller is a service, not a user."""
    issued_at: datetime
    expires_at: datetime
    superuser: bool
    """Whether the token says so, expired or not; for decisions call :meth:`has_superuser_access`."""
    subject: str | None
    """``sub``: id of the caller's credentials."""
    issuer: str | None
    """``iss``: who issued the token."""
    username: str | None
    """``preferred_username``, else ``username``."""
    email: str | None
    phone: str | None
    session_id: str | None
    """``sid``: id of the session in which the token was issued."""

    _claims: dict[str, Any]
    _resources: dict[str, frozenset[str]]
    _clock: Callable[[], float]
    _monotonic: Callable[[], float]
    _end: float
    _monotonic_end: float

    def __init__(
        self,
        claims: Mapping[str, Any],
        *,
        internal: bool = False,
        clock: Callable[[], float] = wall_clock,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        resources = {tenant: frozenset(names) for tenant, names in (claims.get("resources") or {}).items()}
        texts = {name: value for name, value in claims.items() if isinstance(value, str)}
        vars(self).update(
            _claims=dict(claims),
            _resources=resources,
            _clock=clock,
            _monotonic=monotonic,
            _end=claims["exp"] + LEEWAY,
            _monotonic_end=monotonic() + claims["exp"] + LEEWAY - clock(),
            internal=internal,
            issued_at=datetime.fromtimestamp(claims["iat"], UTC),
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
            superuser=SUPERUSER in resources.get(_GLOBAL, ()),
            subject=texts.get("sub"),
            issuer=texts.get("iss"),
            username=texts.get("preferred_username") or texts.get("username"),
            email=texts.get("email"),
            phone=texts.get("phone"),
            session_id=texts.get("sid"),
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A principal can't be changed, so {name} can't be set.")

    def __repr__(self) -> str:
        who, until = self.subject or self.issuer or "?", f"{self.expires_at:%Y-%m-%d %H:%M:%S}Z"
        return f"<Principal {who!a}{' superuser' * self.superuser} until {until}>"

    @property
    def valid(self) -> bool:
        """Whether the token hasn't expired, within LEEWAY."""
        return self._clock() < self._end and self._monotonic() < self._monotonic_end

    def require_valid(self) -> None:
        """Raise TokenRefusedError once the token has expired."""
        if not self.valid:
            raise _noted(TokenRefusedError(Reason.EXPIRED, "It expired while it was in use."))

    def resources(self, tenant: str | None = None) -> frozenset[str]:
        """Return the resources allowed for *tenant*, or globally; a superuser's list isn't complete.

        Raises:
            ValueError: *tenant* is ``"*"``, which isn't the name of a tenant.
        """
        self.require_valid()
        if tenant == _GLOBAL:
            raise ValueError("'*' isn't a tenant: pass None for what is allowed globally.")
        if tenant is None:
            return self._resources.get(_GLOBAL, frozenset())
        return self._resources.get(tenant, frozenset()) - {SUPERUSER}

    def has_superuser_access(self) -> bool:
        """Tell whether everything is allowed."""
        self.require_valid()
        return self.superuser

    def has_resource_access(self, *resources: str, tenant: str | None = None) -> bool:
        """Tell whether all of *resources* are allowed for *tenant*, or globally.

        Raises:
            ValueError: no resource is named, or *tenant* is ``"*"``.
        """
        if not resources:
            raise ValueError("Name at least one resource.")
        return self.resources(tenant).issuperset(resources) or self.superuser

    def has_tenant_access(self, tenant: str) -> bool:
        """Tell whether *tenant* is in ``resources``, even with an empty list.

        Raises:
            ValueError: *tenant* is empty or ``"*"``.
        """
        self.require_valid()
        if not tenant or tenant == _GLOBAL:
            raise ValueError(f"{tenant!r} isn't a tenant.")
        return self.superuser or tenant in self._resources

    def require_superuser_access(self) -> None:
        """Raise AccessDeniedError, or TokenRefusedError, unless everything is allowed."""
        if not self.has_superuser_access():
            raise _noted(AccessDeniedError(f"{self!r} isn't a superuser."))

    def require_resource_access(self, *resources: str, tenant: str | None = None) -> None:
        """Raise AccessDeniedError, or TokenRefusedError, unless all of *resources* are allowed."""
        if not self.has_resource_access(*resources, tenant=tenant):
            where = "" if tenant is None else f" for the tenant {tenant!a}"
            raise _noted(
                AccessDeniedError(f"{self!r} lacks one of {', '.join(map(ascii, resources))}{where}.")
            )

    def require_tenant_access(self, tenant: str) -> None:
        """Raise AccessDeniedError, or TokenRefusedError, unless *tenant* is in ``resources``."""
        if not self.has_tenant_access(tenant):
            raise _noted(AccessDeniedError(f"{self!r} has no access to the tenant {tenant!a}."))

    def claim(self, name: str, default: Any = None) -> Any:
        """Return a copy of a claim."""
        self.require_valid()
        return copy.deepcopy(self._claims.get(name, default))

    def claims(self) -> dict[str, Any]:
        """Return a copy of all claims."""
        self.require_valid()
        return copy.deepcopy(self._claims)


def _noted(error: TokenRefusedError | AccessDeniedError) -> TokenRefusedError | AccessDeniedError:
    noted = denials.get()
    if noted is not None:
        noted.append(error)
    return error
