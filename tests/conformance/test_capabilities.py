"""The capabilities of each backend: tests of one that was dropped by mistake would not be collected."""

import importlib.util
from pathlib import Path

from peerage.testing import RegistryConformance
from peerage.testing.harness import missing_tests

TESTS = Path(__file__).parent.parent

#: Every backend's conformance class, and what it declares.
TABLE = {
    "TestMemory": {"outage", "secrets", "session"},
    "TestInotify": {"processes", "secrets"},
    "TestPolling": {"processes", "secrets"},
    "TestZooKeeper": {"outage", "processes", "secrets", "session"},
}


def suites():
    """Load the modules with the conformance classes of the backends."""
    for path in (
        TESTS / "conformance/test_memory.py",
        TESTS / "backends/embedded/test_contract.py",
        TESTS / "backends/zookeeper/test_contract.py",
    ):
        spec = importlib.util.spec_from_file_location(f"pinned_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, RegistryConformance)
                and "Test" in value.__name__
            ):
                yield value


def test_the_table_of_capabilities():
    """Each backend declares exactly this, and exactly the tests that need more are left out."""
    found = {suite.__name__: suite for suite in suites()}
    assert {name: set(suite.harness_class.capabilities) for name, suite in found.items()} == TABLE
    for suite in found.values():
        left_out = set(missing_tests(RegistryConformance, suite.harness_class.capabilities))
        assert {
            name for name in dir(suite) if name.startswith("test_") and getattr(suite, name) is None
        } == left_out
