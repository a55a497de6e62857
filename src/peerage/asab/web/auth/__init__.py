"""Authorization: each handler of a web container needs a valid token.

::

    asab.web.auth.AuthService(app)

    @asab.web.auth.require("article:write")
    async def write(self, request):
        authz = asab.contextvars.Authz.get()
        ...

Only handlers marked ``@asab.web.auth.noauth`` are open to callers without a token.
"""

from peerage.asab.web.auth.authorization import SUPERUSER_RESOURCE_ID, Authorization
from peerage.asab.web.auth.decorator import noauth, require, require_superuser
from peerage.asab.web.auth.service import AuthService

__all__ = [
    "SUPERUSER_RESOURCE_ID",
    "AuthService",
    "Authorization",
    "noauth",
    "require",
    "require_superuser",
]
