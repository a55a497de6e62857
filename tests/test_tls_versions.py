"""Every TLS context that the product makes, on any Python: Debian's allows TLS 1.0 by default."""

import ssl

import pytest
import trustme

from peerage.asab.tls import SSLContextBuilder
from peerage.auth.fetched_keys import tls_context
from peerage.backends.zookeeper.tls import Tls


@pytest.mark.parametrize("maker", ["ZooKeeper", "key server", "asab server", "asab client"])
def test_nothing_older_than_tls_1_2_is_spoken(maker, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    builder = SSLContextBuilder("tls", config={"cafile": str(tmp_path / "ca.pem")})
    context = {
        "ZooKeeper": Tls(str(tmp_path / "ca.pem"), None, None).context,
        "key server": lambda: tls_context(tmp_path / "ca.pem"),
        "asab server": builder.build,
        "asab client": lambda: builder.build(protocol=ssl.PROTOCOL_TLS_CLIENT),
    }[maker]()
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
