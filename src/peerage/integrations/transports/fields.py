"""The head of a request: its header fields, checked, and the framing of its body; pure."""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

#: A name of a field, or a method (RFC 9110, 5.6.2).
_TOKEN: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")

#: A value of a field: no line breaks, no NUL, no blanks at its ends (RFC 9110, 5.5).
_VALUE: Final = re.compile(rb"(?:[^\x00\s]+(?:[ \t]+[^\x00\s]+)*)?")

_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class InvalidRequestError(ValueError):
    """HTTP doesn't allow such a request."""


class Head(NamedTuple):
    """What is sent before the body."""

    fields: list[tuple[str, str]]
    """Names and values, in order."""
    length: int | None
    """The length of the body in bytes, as the fields say."""
    chunked: bool
    """Whether the body is sent in chunks (RFC 9112, 7.1)."""


def head_of(method: str, fields: Iterable[tuple[bytes, bytes]]) -> Head:
    """Return the head of a request with *method* and *fields*.

    The checks are those of h11, which httpx sends its requests through: what can't be a request must not
    reach a server, which would take a part of it for another one.

    Raises:
        InvalidRequestError: a method, a name or a value that HTTP doesn't allow, or contradictory framing.
    """
    if not _TOKEN.fullmatch(method.encode("utf-8", "replace")):
        raise InvalidRequestError(f"{method!r} isn't a method: give a word such as 'GET'.")
    decoded, framing = [], []
    for name, value in fields:
        decoded.append(_decoded(name, value))
        if name.lower() in _FRAMING:
            framing.append((name.lower(), value))
    return Head(decoded, *_framing_of(framing))


def _decoded(name: bytes, value: bytes) -> tuple[str, str]:
    if not _TOKEN.fullmatch(name):
        raise InvalidRequestError(f"{name!r} isn't the name of a header: give letters, digits and hyphens.")
    # Messages don't show the value, which may be a secret.
    if not _VALUE.fullmatch(value):
        raise InvalidRequestError(
            f"The value of the header {name.decode()} has a line break, or blanks at one of its ends: "
            "remove them."
        )
    try:
        return name.decode("ascii"), value.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(
            f"The value of the header {name.decode()} isn't UTF-8, and nothing else can be sent to services "
            "in .asab: encode it as UTF-8, or as ASCII."
        ) from None


def _framing_of(framing: Sequence[tuple[bytes, bytes]]) -> tuple[int | None, bool]:
    """Return the length of the body, if it is known, and whether it is sent in chunks."""
    if not framing:
        return None, False
    if len(framing) > 1:
        raise InvalidRequestError(
            "A request has one Content-Length, or one Transfer-Encoding: remove the others."
        )
    ((name, value),) = framing
    if name == b"content-length":
        if not value.isdigit():
            raise InvalidRequestError(f"Content-Length: {value!r} isn't a number.")
        return int(value), False
    if value.lower() != b"chunked":
        raise InvalidRequestError(f"Transfer-Encoding: {value!r} isn't supported: only 'chunked' is.")
    return None, True
