"""Everybody is the same one: for development without an authorization server."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from peerage.auth import SUPERUSER, Principal
from peerage.auth.claims import check_claims
from peerage.errors import ConfigurationError, TokenRefusedError

__all__ = ["mock_principal"]

log = logging.getLogger(__name__)

#: Where the claims are looked for besides what is configured.
_PLACES: Final = ("/conf/mock-claims.json", "/conf/mock-userinfo.json")

_LIFETIME: Final = 5 * 365 * 24 * 3600

#: As the original has them: programs under development know them.
_CLAIMS: Final = {
    "iss": "auth.test.loc",
    "azp": "my-asab-app",
    "aud": "my-asab-app",
    "sub": "abc:xyz:799b53e0",
    "preferred_username": "little-capybara",
    "email": "capybara1999@example.com",
    "resources": {"*": [SUPERUSER], "default": [SUPERUSER, "some-test-data:access"]},
    "tenants": ["default", "test-tenant", "another-tenant"],
}


def mock_principal(path: str | None) -> Principal:
    """Return whoever everybody is taken for.

    Args:
        path: of a JSON file with claims; those of a made-up superuser if there is none.

    Raises:
        ConfigurationError: the file has no claims.
    """
    if path and not Path(path).is_file():
        log.warning("[auth] mock_claims_path: there is no file %s", path)
    found = next((place for place in (path, *_PLACES) if place and Path(place).is_file()), None)
    now = int(time.time())
    claims: dict[str, Any] = {"iat": now, "exp": now + _LIFETIME, **(_read(found) if found else _CLAIMS)}
    try:
        # One that has expired is to be refused when it is used, as a token is.
        check_claims(claims, claims["iat"])
    except (TokenRefusedError, KeyError, TypeError) as error:
        raise ConfigurationError(f"The claims in {found} can't be used: {error}") from error
    log.warning(
        "[auth] enabled=mock: every request is taken for one of %r, without a token. Describe somebody else "
        "in a file named by mock_claims_path; never use this where others can call",
        claims.get("preferred_username") or claims.get("sub"),
    )
    return Principal(claims)


def _read(path: str) -> Mapping[str, Any]:
    try:
        claims = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The claims in {path} can't be read: {error}") from error
    if not isinstance(claims, dict):
        raise ConfigurationError(f"The claims in {path} are no JSON object.")
    return claims
