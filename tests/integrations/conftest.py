"""A verifier, and the keys that it fetches."""

import pytest
from tests.auth.support import Served, jwk, jwks

from peerage.auth import FetchedKeys, Verifier


@pytest.fixture
def served():
    return Served(jwks(jwk()))


@pytest.fixture
async def verifier(served):
    verifier = Verifier([FetchedKeys("the test", served)])
    yield verifier
    await verifier.aclose()
