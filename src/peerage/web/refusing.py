"""Refusals as answers of aiohttp."""

from typing import Any

from aiohttp import web

from peerage.serving.refusal import Refusal


def answer(refusal: Refusal) -> web.Response:
    """Return the answer that *refusal* describes."""
    return web.Response(status=refusal.status, **content(refusal))


def content(refusal: Refusal) -> dict[str, Any]:
    """Return the keyword arguments of the answer, for a response or an exception of aiohttp."""
    return {"text": refusal.text, "content_type": refusal.content_type, "headers": refusal.headers}
