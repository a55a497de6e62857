"""The embedded registry keeps the contract, with inotify and without."""

import os

from peerage.backends.embedded.inotify import FORCE_POLLING
from peerage.testing import Harness, RegistryConformance


class EmbeddedHarness(Harness):
    """A new folder for each test."""

    capabilities = frozenset({"processes", "secrets"})

    def url(self, path: str = "asab") -> str:
        return f"embedded://{self.folder}/registry?path=/{path}"


class PollingHarness(EmbeddedHarness):
    """The same without inotify, for every process of the test."""

    async def start(self) -> None:
        os.environ[FORCE_POLLING] = "1"

    async def stop(self) -> None:
        del os.environ[FORCE_POLLING]


class TestInotify(RegistryConformance):
    """The contract, with changes reported by the kernel."""

    harness_class = EmbeddedHarness


class TestPolling(RegistryConformance):
    """The contract, with changes found by polling."""

    harness_class = PollingHarness
