"""Hides the secrets in a configuration and an environment before they are shown."""

import json
import re
from contextlib import suppress
from typing import Any, Final

HIDDEN: Final = "***"

_WORDS: Final = (
    "pass|pwd|secret|token|key|credential|private|cookie|auth|salt|signature|certificate|dsn|jwt|bearer"
    # Whole words, as in GITHUB_PAT and DB_PW.
    "|(?<![a-z])(?:pat|pw|otp|totp)(?![a-z])"
)
_SECRET: Final = re.compile(_WORDS, re.IGNORECASE)

#: Secrets within a value: what follows the group is hidden.
_WITHIN: Final = (
    # Credentials in a URL, up to the last '@': passwords may have any character.
    re.compile(r"""(//)[^\s"']*(?=@)"""),
    # A key, over several lines.
    re.compile(r"(-----BEGIN )[^-]+-----.*?(?=-----END|\Z)", re.DOTALL),
    # The credentials of an Authorization header.
    re.compile(r"\b((?:bearer|basic|digest) +)[^\s,;\"']+", re.IGNORECASE),
    # A parameter of a URL, an option, a line of a file within the value.
    re.compile(rf"""((?:{_WORDS})[\w.-]*["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&"']+)""", re.IGNORECASE),
)


def is_secret(name: str) -> bool:
    """Tell whether the value of a section, an option or a variable of this name is hidden."""
    return _SECRET.search(name) is not None


def shown(name: str, value: str) -> str:
    """Return the value of the option or variable *name* without secrets."""
    if is_secret(name):
        return HIDDEN
    if value.lstrip().startswith(("{", "[")):
        with suppress(ValueError, RecursionError):  # it may not be JSON
            return json.dumps(_without_secrets(json.loads(value)))
    return _without_secrets(value)  # type: ignore[no-any-return] # a text gives a text


def _without_secrets(value: Any) -> Any:
    match value:
        case dict():
            return {key: HIDDEN if is_secret(key) else _without_secrets(each) for key, each in value.items()}
        case list():
            return [_without_secrets(each) for each in value]
        case str():
            for pattern in _WITHIN:
                value = pattern.sub(rf"\1{HIDDEN}", value)
    return value
