"""The answer to a request that is refused before, or instead of, an answer of its handler."""

from collections.abc import Mapping
from typing import Final, NamedTuple

#: The status of the answer that frameworks make of an exception.
SERVER_ERROR: Final = 500


class Refusal(NamedTuple):
    """An answer, for the adapter of a framework to send."""

    status: int
    headers: Mapping[str, str]
    """Those beside ``Content-Type`` and ``Content-Length``."""
    text: str
    content_type: str = "text/plain"
    """Of *text*, which is sent in UTF-8."""
