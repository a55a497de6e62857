"""A folder for the disk caches of one test."""

import pytest


@pytest.fixture
def parent(tmp_path):
    """The folder in which this user's caches are, in the folder peerage-<uid>."""
    return tmp_path / "caches"
