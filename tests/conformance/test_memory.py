"""The memory registry keeps the contract."""

import itertools

from peerage.backends.memory import MemoryRegistry, open_memory
from peerage.testing import Harness, RegistryConformance

_names = itertools.count()


class MemoryHarness(Harness):
    """The registry has methods that simulate faults."""

    capabilities = frozenset({"outage", "session", "secrets"})

    async def start(self) -> None:
        self.name = next(_names)
        self.opened: list[MemoryRegistry] = []

    def url(self, path: str = "asab") -> str:
        return f"memory:conformance-{self.name}/{path}"

    def first(self) -> MemoryRegistry:
        self.opened.append(open_memory(self.url()))
        return self.opened[-1]

    async def lose(self) -> None:
        for registry in self.opened:
            registry.lose()

    async def restore(self) -> None:
        for registry in self.opened:
            registry.restore()

    async def expire(self) -> None:
        for registry in self.opened:
            registry.expire()


class TestMemory(RegistryConformance):
    """The tests that need one process only."""

    harness_class = MemoryHarness
