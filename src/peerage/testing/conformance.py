"""The contract of :mod:`peerage.registry` as tests: one class for every backend.

::

    class MyHarness(Harness):
        capabilities = frozenset({"processes"})

        def url(self, path="asab"):
            return f"mine://{self.folder}/{path}"

    class TestMyRegistry(RegistryConformance):
        harness_class = MyHarness

Tests that require a capability the harness doesn't declare aren't collected.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

from peerage.errors import MissingExtraError

try:
    import pytest
    import pytest_asyncio
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"The conformance suite needs the package {error.name!r}: pip install 'peerage[testing]'",
        name=error.name,
    ) from error

from peerage.registry import Registry, open_registry
from peerage.testing.advertising import AdvertisingTests
from peerage.testing.concurrency import ConcurrencyTests
from peerage.testing.harness import Harness, closing, missing_tests
from peerage.testing.outages import OutageTests
from peerage.testing.tidiness import TidinessTests
from peerage.testing.view import View
from peerage.testing.watching import WatchingTests


@pytest.mark.asyncio
class RegistryConformance(WatchingTests, AdvertisingTests, ConcurrencyTests, OutageTests, TidinessTests):
    """The base class of a backend's test class, which sets ``harness_class``; pytest-asyncio in any mode."""

    harness_class: ClassVar[type[Harness]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Leave out the tests that require a capability which the backend lacks."""
        super().__init_subclass__(**kwargs)
        if "harness_class" in cls.__dict__:
            for name in missing_tests(cls, cls.harness_class.capabilities):
                setattr(cls, name, None)

    @pytest_asyncio.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[Harness]:
        """A new registry for each test."""
        harness = self.harness_class(tmp_path)
        await harness.start()
        yield harness
        await harness.stop()

    @pytest_asyncio.fixture
    async def here(self, harness: Harness) -> AsyncIterator[Registry]:
        """A participant that the harness's faults affect."""
        async with closing(harness.first()) as (registry,):
            yield registry

    @pytest_asyncio.fixture
    async def there(self, harness: Harness) -> AsyncIterator[Registry]:
        """A participant that no fault affects."""
        async with closing(open_registry(harness.url())) as (registry,):
            yield registry

    @pytest_asyncio.fixture
    async def elsewhere(self, harness: Harness) -> AsyncIterator[Registry]:
        """A participant of another path."""
        async with closing(open_registry(harness.url("elsewhere"))) as (registry,):
            yield registry

    @pytest_asyncio.fixture
    async def view(self, there: Registry) -> AsyncIterator[View]:
        """What the second participant sees."""
        async with View(there) as view:
            yield view
