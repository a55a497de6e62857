"""Fetches a small document, such as a set of public keys."""

import ssl
from collections.abc import Callable
from typing import Final

import aiohttp
from yarl import URL

#: Bytes of a document, at most.
_LIMIT: Final = 256 * 1024

_OK: Final = 200


async def fetch_document(
    session: Callable[[], aiohttp.ClientSession], url: str, *, tls: ssl.SSLContext | None = None
) -> bytes:
    """Return the document behind *url*.

    Args:
        session: makes a session without authorization: the server must not learn a token from the request.
        url: http or https; a ``.asab`` host is any of its instances.
        tls: what the server of an https URL is verified with; None: the authorities of the system.

    Raises:
        ValueError: the answer isn't a document, is too large, or a redirect led from https to http.
        aiohttp.ClientError: the server can't be reached.
        PeerageError: no instance is known by that name.
    """
    target = URL(url)
    headers = {"Accept": "application/json"}
    try:
        async with (
            session() as one,
            one.get(target, headers=headers, ssl=True if tls is None else tls) as response,
        ):
            hops = (*response.history, response)
            if target.scheme == "https" and any(hop.url.scheme != "https" for hop in hops):
                raise ValueError("a redirect leads from https to http")
            if response.status != _OK:
                raise ValueError(f"it answers {response.status}")
            document = bytearray()
            async for chunk in response.content.iter_any():
                document += chunk
                if len(document) > _LIMIT:
                    raise ValueError(f"it has more than {_LIMIT} bytes")
            return bytes(document)
    except aiohttp.TooManyRedirects as error:
        raise ValueError("it redirects without end") from error
    # The messages of these two quote the URL, whose query may hold credentials.
    except aiohttp.RedirectClientError as error:
        raise ValueError("it redirects to a URL that can't be used") from error
    except aiohttp.ClientResponseError as error:
        raise ValueError("its answer isn't HTTP") from error
