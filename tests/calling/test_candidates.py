"""The hosts by which an instance may be reached."""

import pytest
from tests.support import record

from peerage.calling.candidates import hosts_of
from peerage.records.decode import decode


def hosts(**fields):
    each = record("a", **fields)
    instance = decode(each.name, each.data).instance
    assert instance is not None
    return [list(hosts_of(instance, endpoint)) for endpoint in instance.endpoints]


def test_the_instance_id_is_tried_after_the_host():
    """ASAB's documentation says that it is resolvable. The addresses come last."""
    own = {"addresses": ["10.0.0.1", "fd00::1"]}
    assert hosts(instance_id="Orders-1", peerage=own) == [["node-1", "orders-1", "10.0.0.1"]]


@pytest.mark.parametrize("instance_id", ["0x7f000001", "0X7F.1", "127.1", "1", "a b", "a/b", "é"])
def test_an_instance_id_that_is_no_host_name_is_not_tried(instance_id):
    """Resolvers read some of them as addresses, for example of the caller's own machine."""
    assert hosts(instance_id=instance_id) == [["node-1"]]
