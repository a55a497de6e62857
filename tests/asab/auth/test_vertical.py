"""The documented program with authorization, and a stand-in for SeaCat Auth that it finds by its name."""

import pytest
from tests.asab.auth.programs import KEYS_URL, READER, SERVICE, asked, named, seacat
from tests.asab.zookeeper.programs import on


@pytest.fixture(params=["embedded", "zookeeper"])
def environ(request, tmp_path):
    """Where they meet."""
    if request.param == "embedded":
        return {"PEERAGE_DIR": str(tmp_path / "registry")}
    return on(request.getfixturevalue("zookeeper"))


@pytest.fixture
def config(tmp_path):
    """As documented: with quotes around everything."""
    path = tmp_path / "service.conf"
    path.write_text(f'[auth]\n"public_keys_url": "{KEYS_URL}"\n')
    return path


async def test_good_none_and_wrong(environ, config):
    async with (
        seacat(environ),
        asked(SERVICE + "Service().run()", named(environ, "orders-1"), config=config) as service,
    ):
        assert await service.status("/read", READER) == 200
        assert await service.status("/read") == 401
        assert await service.status("/write", READER) == 403
