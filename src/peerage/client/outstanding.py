"""When a request is over: at the end of its response, not at its headers."""

from collections.abc import Callable

import aiohttp

__all__ = ["call_at_end"]


def call_at_end(response: aiohttp.ClientResponse, finished: Callable[[], object]) -> None:
    """Call *finished* once, when *response* lets go of its connection.

    That is when its body has been read, when it is closed, released or collected, when its WebSocket closes,
    and at once if it has no body.
    """
    connection = response.connection
    if connection is None:
        finished()
        return
    try:
        add_callback = connection.add_callback
    except AttributeError:
        # It isn't documented, though aiohttp's own time-outs hang on it. Without it the headers are the end.
        finished()
    else:
        add_callback(finished)  # type: ignore[arg-type] # the result is ignored there
