"""Selects the framework of an application."""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peerage.asab.api.own import OwnLayer
    from peerage.asab.inside.framework import RealAsab

    Framework = OwnLayer | RealAsab


def framework_of(app: Any) -> "Framework":
    """Return the framework of *app*: the real asab, or this layer.

    The real asab isn't imported for that: an application of it has loaded it.
    """
    asab = sys.modules.get("asab")
    if asab is not None and isinstance(app, getattr(asab, "Application", ())):
        from peerage.asab.inside.framework import RealAsab  # noqa: PLC0415 - for programs of the real asab

        return RealAsab.of(app)
    from peerage.asab.api.own import OwnLayer  # noqa: PLC0415 - reads the configuration of this layer

    return OwnLayer(app)
