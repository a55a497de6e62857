"""Fetches public keys over HTTP, in a session that somebody else makes."""

import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from yarl import URL

from peerage.auth.sources import FetchedKeys, read_file
from peerage.errors import ConfigurationError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["fetch_url", "fetched_keys", "tls_context", "without_credentials"]

#: Bytes of a document, at most.
_LIMIT: Final = 256 * 1024

_OK: Final = 200


def fetched_keys(
    urls: Iterable[str],
    files: Iterable[str | Path],
    session: "Callable[[], aiohttp.ClientSession]",
    *,
    ca: str | Path | None = None,
    issuers: Collection[str] | None = None,
    audiences: Collection[str] | None = None,
) -> list[FetchedKeys]:
    """Return the sources of users' keys: *urls* and *files*.

    Args:
        urls: as of :func:`fetch_url`.
        files: of a JWKS, a JWK or PEM.
        session: as of :func:`fetch_url`.
        ca: as of :func:`tls_context`; None: the authorities of the system.
        issuers: as of :class:`FetchedKeys`.
        audiences: likewise.

    Raises:
        ConfigurationError: a URL, or *ca*, can't work.
    """
    tls = None if ca is None else tls_context(ca)
    fetches = [(fetch_url(url, session, tls=tls), without_credentials(url)) for url in urls]
    fetches += [(read_file(file), str(file)) for file in files]
    return [FetchedKeys(name, fetch, issuers=issuers, audiences=audiences) for fetch, name in fetches]


def fetch_url(
    url: str, session: "Callable[[], aiohttp.ClientSession]", *, tls: ssl.SSLContext | None = None
) -> Callable[[], Awaitable[bytes]]:
    """Return what fetches *url*, from any of its instances if it is a ``.asab`` one.

    Args:
        url: of a JWKS, http or https.
        session: makes a session without any authorization: the answer decides who may do what, so nothing may
            depend on it.
        tls: what an https URL is verified with; by default the authorities of the system.

    Raises:
        ConfigurationError: *url* can't be one.
    """
    try:
        target = URL(url)
    except ValueError:
        target = URL()
    if target.scheme not in ("http", "https") or not target.host:
        # One with credentials isn't shown.
        shown = "" if "@" in url else f" {url!a}"
        raise ConfigurationError(
            f"The URL of public keys{shown} can't work: write "
            "http://seacat-auth.service_id.asab/.well-known/jwks.json, or any http or https URL of a JWKS."
        )

    import aiohttp  # noqa: PLC0415 - not for those who have their keys in files

    async def fetch() -> bytes:
        try:
            return await get()
        except aiohttp.TooManyRedirects as error:
            raise ValueError("it redirects without end") from error

    async def get() -> bytes:
        async with (
            session() as one,
            one.get(
                target, headers={"Accept": "application/json"}, ssl=True if tls is None else tls
            ) as response,
        ):
            way = (*response.history, response)
            if target.scheme == "https" and any(each.url.scheme != "https" for each in way):
                raise ValueError("it leads from https to a place without")
            if response.status != _OK:
                raise ValueError(f"it answers {response.status}")
            document = bytearray()
            async for chunk in response.content.iter_any():
                document += chunk
                if len(document) > _LIMIT:
                    raise ValueError(f"it has more than {_LIMIT} bytes")
            return bytes(document)

    return fetch


def without_credentials(url: str) -> str:
    """Return *url*, which :func:`fetch_url` has accepted, as it may be shown."""
    return str(URL(url).with_user(None))


def tls_context(ca: str | Path) -> ssl.SSLContext:
    """Return what verifies servers by the certificates of authorities in the file *ca*, PEM, and no others.

    It reads the file, so call it before the event loop is busy.

    Raises:
        ConfigurationError: the file isn't there, or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"The authorities in {str(ca)!a} can't be read: {error}. Name a file of PEM certificates."
        ) from error
    # Some distributions' Python, Debian's among them, allows older versions by default.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
