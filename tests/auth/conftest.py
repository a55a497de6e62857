"""Services that authorize each other by instance tokens."""

from contextlib import AsyncExitStack

import pytest
from tests.auth.services import Services


@pytest.fixture
async def services(tmp_path):
    async with AsyncExitStack() as stack:
        yield Services(f"memory:instances-{tmp_path.name}", stack, authorization="instance")
