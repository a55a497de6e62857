"""Answers in JSON."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

__all__ = ["JSONDumper", "json_response"]

#: Values of ``?pretty`` that mean yes; nothing after it does, too.
_YES: Final = frozenset({"", "1", "t", "true", "y", "yes"})


class JSONDumper:
    """Makes JSON of what :mod:`json` can, and of dates, bytes, data classes and what has ``rest_get()``.

    Args:
        pretty: whether it is for people.
    """

    def __init__(self, pretty: Any) -> None:
        self.pretty = pretty

    def __call__(self, obj: Any) -> str:
        """Return *obj* as JSON."""
        if self.pretty:
            return json.dumps(obj, indent=4, default=self.default) + "\n"
        return json.dumps(obj, default=self.default)

    def default(self, o: Any) -> Any:
        """Return something that JSON has instead of *o*; what else there is becomes text."""
        if (own := getattr(o, "rest_get", None)) is not None:
            return own()
        if isinstance(o, datetime):
            # A time without a zone is taken for UTC. Zones needn't be hashable.
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
    """Return *data* as a JSON response.

    Args:
        request: what is answered; ``?pretty`` in its URL makes it readable.
        data: what to answer.
        pretty: whether to make it readable anyway.
        dumps: how to make JSON of it.
        kwargs: go to :func:`aiohttp.web.json_response`.
    """
    pretty = request.query.get("pretty", "no").lower() in _YES or pretty
    return web.json_response(data, dumps=dumps(pretty), **kwargs)
