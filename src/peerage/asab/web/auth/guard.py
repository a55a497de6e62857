"""The middleware that lets only requests with a valid token reach the handlers of a web container."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from peerage.asab.contextvars import Authz, Tenant, Unverified
from peerage.asab.exceptions import AccessDeniedError, NotAuthenticatedError
from peerage.asab.web.auth.authorization import Authorization
from peerage.asab.web.auth.decorator import NOAUTH
from peerage.auth import Reason
from peerage.auth.refusals import Refusals
from peerage.errors import AccessDeniedError as Denied
from peerage.errors import KeysUnavailableError, TokenRefusedError
from peerage.web.authorization import is_open, take_token, unavailable

__all__ = ["guard"]


def guard(authenticate: Callable[[str | None], Awaitable[Authorization]], refusals: Refusals) -> Middleware:
    """Return a middleware that sets ``Authz``, or raises NotAuthenticatedError, AccessDeniedError or a 503.

    Args:
        authenticate: verifies a token; raises TokenRefusedError or KeysUnavailableError.
        refusals: counts and logs refusals of requests with valid tokens.
    """

    @web.middleware
    async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
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
            authz = await authenticate(token)
        except TokenRefusedError as error:
            raise missing or NotAuthenticatedError from error
        except KeysUnavailableError as error:
            raise missing or web.HTTPServiceUnavailable(**unavailable(error)) from error
        before = Authz.set(authz)
        try:
            _check_tenant(authz)
            return await handler(request)
        except (AccessDeniedError, NotAuthenticatedError) as error:
            _note(refusals, error.__cause__)
            raise
        finally:
            Authz.reset(before)

    return authorize


def _note(refusals: Refusals, cause: BaseException | None) -> None:
    if isinstance(cause, Denied):
        refusals.note(Reason.DENIED, cause)
    elif isinstance(cause, TokenRefusedError):
        refusals.note(cause.reason, cause)


def _check_tenant(authz: Authorization) -> None:
    tenant = Tenant.get(None)
    if tenant is None:
        return
    try:
        authz.require_tenant_access()
    except ValueError as error:
        # It isn't the name of a tenant.
        raise AccessDeniedError from error
