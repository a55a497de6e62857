"""Where anybody may write to the registry, anybody may publish keys: that is told at the start."""

import logging

import pytest
import trustme

from peerage import Discovery

KEYS = "http://seacat-auth.service_id.asab/.well-known/jwks.json"
OPEN = "zookeeper://127.0.0.1:1/exposed"


@pytest.fixture
def said(caplog):
    """What was told of it."""

    def lines():
        return [record.getMessage() for record in caplog.records if "Anyone" in record.getMessage()]

    with caplog.at_level(logging.INFO):
        yield lines


async def test_keys_by_discovery_in_an_open_registry(said):
    async with Discovery(OPEN) as discovery:
        discovery.auth.verifier([KEYS, "http://login.example/jwks.json"])
        (line,) = said()
        for part in ("seacat-auth.service_id.asab", OPEN, "acl=creator", "https"):
            assert part in line
        assert "login.example" not in line
        # Once is enough.
        discovery.auth.verifier(KEYS)
        discovery.auth.verifier()
    assert len(said()) == 1


async def test_the_key_of_the_cluster_in_an_open_registry(said):
    async with Discovery(OPEN) as discovery:
        discovery.auth.verifier(public_keys_file="keys.json")
    (line,) = said()
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
async def test_nothing_is_said_where_nobody_can(said, tmp_path, monkeypatch, registry, kwargs):
    monkeypatch.setenv("PEERAGE_DIR", str(tmp_path / "registry"))
    async with Discovery(registry) as discovery:
        discovery.auth.verifier(**kwargs)
    assert not said()


async def test_not_even_https_helps_against_who_writes_keys_into_records(said, tmp_path):
    """Where each instance has its own key, that is as true as the registry."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    async with Discovery(OPEN, authorization="instance") as discovery:
        discovery.auth.verifier(KEYS.replace("http:", "https:"), ca=tmp_path / "ca.pem", allow={})
    (line,) = said()
    assert "of any instance" in line
