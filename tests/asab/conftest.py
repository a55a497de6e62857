"""Two processes to fork programs from: one of the original, one of ours."""

from collections.abc import Iterator

import pytest
from tests.asab.both import nurseries


@pytest.fixture(scope="session", autouse=True)
def _nurseries() -> Iterator[None]:
    with nurseries():
        yield
