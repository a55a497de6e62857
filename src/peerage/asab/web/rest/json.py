"""Responses in JSON."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

#: Values of ``?pretty`` that mean yes, no value included.
_YES: Final = frozenset({"", "1", "t", "true", "y", "yes"})


class JSONDumper:
    """Makes JSON of what :mod:`json` supports, dates, bytes, data classes and objects with ``rest_get()``.

    Args:
        pretty: whether to indent it.
    """

    def __init__(self, pretty: Any) -> None:
        self.pretty = pretty

    def __call__(self, obj: Any) -> str:
        """Return *obj* as JSON."""
        indent, end = (4, "\n") if self.pretty else (None, "")
        return json.dumps(obj, indent=indent, default=self.default) + end

    def default(self, o: Any) -> Any:
        """Return a JSON value for *o*; by default, its text."""
        if (own := getattr(o, "rest_get", None)) is not None:
            return own()
        if isinstance(o, datetime):
            # A time without a zone is UTC. Zones need not be hashable.
            if o.tzinfo is None or o.tzinfo == UTC:
                return f"{o.replace(tzinfo=None).isoformat()}Z"
            return o.isoformat()
        if isinstance(o, bytes):
            return o.hex()
        if dataclasses.is_dataclass(o) and not isinstance(o, type):
            return dataclasses.asdict(o)
        return str(o)


def json_response(
    request: web.Request,
    data: Any,
    pretty: Any = None,
    dumps: type[JSONDumper] = JSONDumper,
    **kwargs: Any,
) -> web.Response:
    """Return *data* as a JSON response, indented if *pretty* is true or the URL of *request* has ``?pretty``.

    *kwargs* are arguments of :func:`aiohttp.web.json_response`.
    """
    pretty = request.query.get("pretty", "no").lower() in _YES or pretty
    return web.json_response(data, dumps=dumps(pretty), **kwargs)
