"""Authorization: each handler of a web container needs a valid token.

::

    asab.web.auth.AuthService(app)

    @asab.web.auth.require("article:write")
    async def write(self, request):
        authz = asab.contextvars.Authz.get()
        ...

Only handlers marked ``@asab.web.auth.noauth`` are open to callers without a token.
"""

from typing import TYPE_CHECKING, Final

from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.asab.web.auth.authorization import SUPERUSER_RESOURCE_ID, Authorization
    from peerage.asab.web.auth.decorator import noauth, require, require_superuser
    from peerage.asab.web.auth.service import AuthService

_HOME_OF: Final = {
    "SUPERUSER_RESOURCE_ID": "authorization",
    "AuthService": "service",
    "Authorization": "authorization",
    "noauth": "decorator",
    "require": "decorator",
    "require_superuser": "decorator",
}

__all__ = [
    "SUPERUSER_RESOURCE_ID",
    "AuthService",
    "Authorization",
    "noauth",
    "require",
    "require_superuser",
]

if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), _HOME_OF, frozenset({"authorization", "decorator", "service"}))


def __dir__() -> list[str]:
    return [*__all__]
