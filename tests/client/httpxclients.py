"""Clients of httpx and httpx2 over a fleet."""

from types import SimpleNamespace

import httpx
import httpx2

from peerage.integrations.httpx import AsyncTransport
from peerage.integrations.httpx2 import AsyncTransport as AsyncTransport2

LIBRARIES = {"httpx": (httpx, AsyncTransport), "httpx2": (httpx2, AsyncTransport2)}


def discovery_of(fleet):
    """Return what a transport needs of a Discovery."""

    def session(*, calls=None, **kwargs):
        return fleet.session(options=calls, **kwargs)

    return SimpleNamespace(session=session, auth=SimpleNamespace())
