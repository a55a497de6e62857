"""A caller's deadline holds for requests to a service of the real asab."""

import pytest
from tests.asab.inside.programs import WORKER, guest, named
from tests.asab.zookeeper.programs import on


@pytest.mark.parametrize(
    ("method", "takes", "status"),
    [
        ("GET", "3600", 504),
        # It isn't interrupted: the program may not expect that while it changes something.
        ("POST", "0.2", 200),
    ],
)
async def test_only_handlers_that_change_nothing_are_cancelled(inside, zookeeper, method, takes, status):
    async with (
        guest(inside, named(on(zookeeper), "worker-1"), WORKER) as one,
        one.session.request(method, f"/work?takes={takes}", headers={"Peerage-Timeout-Ms": "50"}) as response,
    ):
        assert response.status == status, one.running.log
