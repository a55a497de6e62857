"""A service that verifies tokens warns if any process may write to the registry."""

import logging

import pytest
import trustme

from peerage import Discovery

KEYS = "http://seacat-auth.service_id.asab/.well-known/jwks.json"
OPEN = "zookeeper://127.0.0.1:1/exposed"


@pytest.fixture
def warnings(caplog):
    """Return the warnings so far."""

    def lines():
        return [record.getMessage() for record in caplog.records if "Anyone" in record.getMessage()]

    with caplog.at_level(logging.INFO):
        yield lines


async def test_keys_found_by_name_in_an_open_registry(warnings):
    async with Discovery(OPEN) as discovery:
        discovery.auth.verifier([KEYS, "http://login.example/jwks.json"])
        (line,) = warnings()
        for part in ("seacat-auth.service_id.asab", OPEN, "acl=creator", "https"):
            assert part in line
        assert "login.example" not in line
        # The second verifier doesn't repeat it.
        discovery.auth.verifier(KEYS)
        discovery.auth.verifier()
    assert len(warnings()) == 1


async def test_the_key_of_the_cluster_in_an_open_registry(warnings):
    async with Discovery(OPEN) as discovery:
        discovery.auth.verifier(public_keys_file="keys.json")
    (line,) = warnings()
    assert "/asab/auth/internal_auth_private.key" in line
    assert "https" not in line


@pytest.mark.parametrize(
    ("registry", "kwargs"),
    [
        ("zookeeper://me:secret@127.0.0.1:1/exposed", {"public_keys_url": KEYS}),
        ("embedded:", {"public_keys_url": KEYS}),
        ("memory:exposed", {"public_keys_url": KEYS}),
        (OPEN, {"public_keys_url": KEYS.replace("http:", "https:"), "internal": False}),
        (OPEN, {"public_keys_url": "http://login.example/jwks.json", "internal": False}),
        (OPEN, {"public_keys_file": "keys.json", "internal": False}),
    ],
)
async def test_without_exposure_there_is_no_warning(warnings, tmp_path, monkeypatch, registry, kwargs):
    monkeypatch.setenv("PEERAGE_DIR", str(tmp_path / "registry"))
    async with Discovery(registry) as discovery:
        discovery.auth.verifier(**kwargs)
    assert not warnings()


async def test_https_doesnt_protect_the_keys_in_records(warnings, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    async with Discovery(OPEN, authorization="instance") as discovery:
        discovery.auth.verifier(KEYS.replace("http:", "https:"), ca=tmp_path / "ca.pem", allow={})
    (line,) = warnings()
    assert "of any instance" in line
