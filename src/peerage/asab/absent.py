"""The parts of ASAB that this layer doesn't have, and the advice for programs that need them."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

_PACKAGE: Final = "peerage.asab."

#: The end of each message about a missing part.
REAL_ASAB: Final = (
    "A program that needs it keeps the real asab and takes ApiService from peerage.asab.api: "
    "see docs/asab-inside.md."
)

#: Modules, and the names that live in them; relative to ``peerage.asab``.
ABSENT: Final = frozenset(
    (
        *("PersistentDict", "StreamSocketServerService", "alert", "library", "metrics", "pdict", "sentry"),
        *("socket", "storage", "web.StaticDirProvider", "web.WebSocketFactory", "web.session"),
        *("web.staticdir", "web.tenant", "web.websocket"),
    )
)


class _Finder(MetaPathFinder):
    """Refuses the absent modules; the finders before it find all others."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the signature of importlib
        target: ModuleType | None = None,  # noqa: ARG002 - likewise
    ) -> ModuleSpec | None:
        name = fullname.removeprefix(_PACKAGE)
        if name != fullname and name in ABSENT:
            raise ImportError(
                f"peerage.asab has no {name!r}: it has ASAB's application, web, ZooKeeper, API and discovery "
                f"parts. {REAL_ASAB}",
                name=fullname,
            )
        return None


def install() -> None:
    """Make imports of absent modules raise an ImportError with advice."""
    sys.meta_path.append(_Finder())
