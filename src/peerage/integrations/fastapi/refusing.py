"""A refusal as the exception that FastAPI answers."""

import json
from typing import Any

from fastapi import HTTPException

from peerage.serving.refusal import Refusal


def refused(refusal: Refusal) -> HTTPException:
    """Return the exception that a dependency raises; FastAPI answers it with ``{"detail": …}``."""
    is_json = refusal.content_type == "application/json"
    detail: Any = json.loads(refusal.text) if is_json else refusal.text.strip()
    return HTTPException(refusal.status, detail, dict(refusal.headers))
