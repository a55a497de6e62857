"""The section ``[auth]`` of the configuration."""

from collections.abc import Mapping
from configparser import RawConfigParser
from dataclasses import dataclass
from typing import Any, Final

from peerage.asab.absent import REAL_ASAB
from peerage.asab.utils import string_to_boolean
from peerage.errors import ConfigurationError

_SECTION: Final = "auth"
_QUOTE: Final = '"'


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """The settings of ``[auth]``."""

    mock: bool
    """Whether each request is accepted, as one of the identity in a file."""
    urls: tuple[str, ...]
    """URLs of key sets (JWKS)."""
    files: tuple[str, ...]
    """Files of keys: key sets, or PEM."""
    options: dict[str, Any]
    """Further arguments of :func:`peerage.auth.fetched_keys`: ``ca``, ``issuers``, ``audiences``."""
    mock_claims_path: str | None


def read_settings(config: RawConfigParser) -> AuthSettings:
    """Return the settings; ConfigurationError if *enabled* isn't one of the modes."""
    given = _options(config)
    return AuthSettings(
        mock=_is_mock(given.get("enabled") or "production"),
        urls=_words(given.get("public_keys_url")),
        files=_lines(given.get("public_keys_file")),
        options={
            "ca": given.get("public_keys_ca") or None,
            "issuers": _words(given.get("issuers")) or None,
            "audiences": _words(given.get("audiences")) or None,
        },
        mock_claims_path=given.get("mock_claims_path") or given.get("mock_user_info_path") or None,
    )


def _options(config: RawConfigParser) -> Mapping[str, str]:
    if not config.has_section(_SECTION):
        return {}
    # The documentation writes both names and values in quotes.
    return {_bare(name): _bare(value or "") for name, value in config.items(_SECTION)}


def _bare(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == _QUOTE:
        return text[1:-1]
    return text


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(map(_bare, (text or "").split()))


def _lines(text: str | None) -> tuple[str, ...]:
    return tuple(_bare(line) for line in (text or "").splitlines() if line.strip())


def _is_mock(text: str) -> bool:
    mode = text.strip().lower()
    if mode in {"production", "mock"}:
        return mode == "mock"
    if mode == "development":
        raise ConfigurationError(
            "[auth] enabled=development: peerage.asab doesn't introspect access tokens. Write enabled=mock "
            f"for development without an authorization server. {REAL_ASAB}"
        )
    try:
        enabled = string_to_boolean(mode)
    except ValueError:
        raise ConfigurationError(f"[auth] enabled={text!r} isn't known: write production or mock.") from None
    if not enabled:
        raise ConfigurationError(
            "Authorization can't be switched off by [auth] enabled=no, or --no-auth, where there is an "
            "AuthService: for development write enabled=mock, which accepts every request as one of the "
            "identity in mock_claims_path."
        )
    return False
