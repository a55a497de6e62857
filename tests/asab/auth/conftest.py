"""The registry of services and the fake SeaCat Auth."""

import pytest
from tests.asab.auth.programs import KEYS_URL
from tests.asab.zookeeper.programs import on


@pytest.fixture
def embedded(tmp_path):
    """On this machine alone, in a folder for this test."""
    return {"PEERAGE_DIR": str(tmp_path / "registry")}


@pytest.fixture(params=["embedded", "zookeeper"])
def environ(request):
    """Each of both."""
    if request.param == "embedded":
        return request.getfixturevalue("embedded")
    return on(request.getfixturevalue("zookeeper"))


@pytest.fixture
def config(tmp_path):
    """The documented configuration, with quotes around names and values."""
    path = tmp_path / "service.conf"
    path.write_text(f'[auth]\n"public_keys_url": "{KEYS_URL}"\n')
    return path
