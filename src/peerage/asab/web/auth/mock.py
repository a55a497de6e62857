"""The same identity for all requests: for development without an authorization server."""

import json
import logging
import time
from pathlib import Path
from typing import Any, Final

from peerage.auth import SUPERUSER, Principal
from peerage.auth.claims import check_claims
from peerage.errors import ConfigurationError, TokenRefusedError

log = logging.getLogger(__name__)

#: Files with claims that are used if none is configured.
_FILES: Final = ("/conf/mock-claims.json", "/conf/mock-userinfo.json")

_LIFETIME: Final = 5 * 365 * 24 * 3600

#: The same as in ASAB, for programs under development.
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
    """Return the principal of all requests: of the claims in the JSON file *path*, or an invented superuser.

    It raises ConfigurationError if the claims in the file are invalid.
    """
    if path and not Path(path).is_file():
        log.warning("[auth] mock_claims_path: there is no file %s", path)
    found = next((file for file in (path, *_FILES) if file and Path(file).is_file()), None)
    now = int(time.time())
    try:
        given = json.loads(Path(found).read_text(encoding="utf-8")) if found else _CLAIMS
        claims: dict[str, Any] = {"iat": now, "exp": now + _LIFETIME, **given}
        # Expired claims are refused at each request, as a token is.
        check_claims(claims, claims["iat"])
    except (OSError, ValueError, TokenRefusedError, KeyError, TypeError) as error:
        raise ConfigurationError(f"The claims in {found} can't be used: {error}") from error
    log.warning(
        "[auth] enabled=mock: every request is accepted as one of %r, without a token. Describe another "
        "identity in the file mock_claims_path; never use this where others can call",
        claims.get("preferred_username") or claims.get("sub"),
    )
    return Principal(claims)
