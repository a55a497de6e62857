"""Processes to fork programs from, and an interpreter that has the real asab and peerage."""

from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from tests.asab.both import Kind, nurseries
from tests.interop.original import PYTHON

_SOURCES = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="session", autouse=True)
def _nurseries() -> Iterator[None]:
    with nurseries():
        yield


@pytest.fixture(scope="session")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Kind:
    """The original's interpreter; it finds the sources, and the entry points of an installation."""
    folder = tmp_path_factory.mktemp("installed")
    about = folder / "peerage-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: peerage\nVersion: 0\n")
    entry_points = distribution("peerage").read_text("entry_points.txt")
    assert entry_points is not None
    (about / "entry_points.txt").write_text(entry_points)
    return Kind((str(PYTHON),), "asab", f"{_SOURCES}:{folder}")
