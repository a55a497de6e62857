"""What a server of aiohttp needs: authorization of its callers.

::

    app = aiohttp.web.Application(middlewares=[authorize(discovery.auth.verifier(KEYS_URL))])

The names are loaded on first use, so that each needs only the packages of its own purpose.
"""

from typing import TYPE_CHECKING, Final

from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.web.authorization import PRINCIPAL as PRINCIPAL
    from peerage.web.authorization import authorize as authorize
    from peerage.web.authorization import caller as caller
    from peerage.web.authorization import noauth as noauth
    from peerage.web.authorization import require as require
    from peerage.web.authorization import require_superuser as require_superuser

_HOMES: Final = {
    "authorization": ("PRINCIPAL", "authorize", "caller", "noauth", "require", "require_superuser"),
}

__all__ = ["PRINCIPAL", "authorize", "caller", "noauth", "require", "require_superuser"]

if not TYPE_CHECKING:
    __getattr__ = loader(
        __name__, globals(), {name: home for home, names in _HOMES.items() for name in names}
    )


def __dir__() -> list[str]:
    return [*__all__]
