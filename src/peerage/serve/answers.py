"""The responses of the API: JSON values, and errors that say what is wrong and what to do."""

from typing import Any

from aiohttp import hdrs, web

from peerage.records.text import as_json


def answer(value: dict[str, Any] | list[Any]) -> web.Response:
    """Return *value* as JSON, which no cache may keep."""
    return web.Response(
        text=as_json(value), content_type="application/json", headers={hdrs.CACHE_CONTROL: "no-store"}
    )


def refuse(status: int, message: str, *, retry_after: int | None = None, **headers: str) -> web.Response:
    """Return an error: ``{"error": message}``.

    Args:
        status: of the answer, 400 or above.
        message: what is wrong and what to do.
        retry_after: seconds after which it makes sense to ask again.
        headers: further headers, by name.
    """
    if retry_after is not None:
        headers[hdrs.RETRY_AFTER] = str(retry_after)
    return web.json_response({"error": message}, status=status, headers=headers)
