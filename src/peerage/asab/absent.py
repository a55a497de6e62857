"""What ASAB has and this layer hasn't, and what to do then."""

from typing import Final, Never

__all__ = ["ABSENT", "NEVER_PUBLISHED", "refuse"]

#: Modules, and the names that live in them; below ``peerage.asab``.
ABSENT: Final = frozenset(
    {
        "PersistentDict",
        "StreamSocketServerService",
        "alert",
        "library",
        "metrics",
        "pdict",
        "sentry",
        "socket",
        "storage",
        "web.WebSocketFactory",
        "web.session",
        "web.websocket",
    }
)


_MODULE: Final = "it comes from asab.{}, which peerage.asab doesn't have. Keep the real asab for that"

#: Messages of ASAB that nobody publishes here, and what to do.
NEVER_PUBLISHED: Final = {
    "Application.housekeeping!": "subscribe to Application.tick/3600! and look at the time",
    "Library.change!": _MODULE.format("library"),
    "Library.not_ready!": _MODULE.format("library"),
    "Library.ready!": _MODULE.format("library"),
    "Metrics.flush!": _MODULE.format("metrics"),
    "PublicKey.updated!": "keys are fetched when a token needs them; there is nothing to be done then",
}


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
