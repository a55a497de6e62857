"""What ASAB has and this layer hasn't, and what to do then."""

from typing import Final, Never

__all__ = ["ABSENT", "refuse"]

#: Modules, and the names that live in them; below ``peerage.asab``.
ABSENT: Final = frozenset(
    {
        "PersistentDict",
        "StreamSocketServerService",
        "alert",
        "library",
        "metrics",
        "pdict",
        "proactor",
        "sentry",
        "socket",
        "storage",
        "web.WebSocketFactory",
        "web.session",
        "web.websocket",
    }
)


def refuse(name: str) -> Never:
    """Say that *name*, of a module or in a package's namespace, isn't here.

    Raises:
        ImportError: always.
    """
    name = name.removeprefix("peerage.asab.")
    raise ImportError(
        f"peerage.asab has no {name!r}: it has ASAB's application, web, ZooKeeper, API and discovery parts. "
        "A program that needs more keeps the real asab and takes ApiService from peerage.asab.api: see "
        "docs/asab-inside.md.",
        name=f"peerage.asab.{name}",
    )
