"""A folder for the disk caches of one test, to which changes are saved at once."""

import pytest

from peerage.disk_cache import cache


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """Save 10 ms after a change."""
    monkeypatch.setattr(cache, "PAUSE", 0.01)


@pytest.fixture
def parent(tmp_path):
    """The folder in which this user's caches are, in the folder peerage-<uid>."""
    return tmp_path / "caches"
