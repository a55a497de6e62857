"""Programs of the real asab that have peerage installed beside it."""

from importlib.metadata import distribution
from pathlib import Path

import pytest
from tests.asab.both import Kind
from tests.interop.original import PYTHON

_SOURCES = Path(__file__).parents[3] / "src"


@pytest.fixture(scope="session")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Kind:
    """The original's interpreter; it finds the sources, and what an installation says of entry points."""
    folder = tmp_path_factory.mktemp("installed")
    about = folder / "peerage-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: peerage\nVersion: 0\n")
    entry_points = distribution("peerage").read_text("entry_points.txt")
    assert entry_points is not None
    (about / "entry_points.txt").write_text(entry_points)
    return Kind((str(PYTHON),), "asab", f"{_SOURCES}:{folder}")
