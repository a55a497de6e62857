"""Where a web container listens: the lines of ``[web] listen``."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from peerage.errors import ConfigurationError

_HIGHEST_PORT: Final = 65535


class ListenError(ConfigurationError, RuntimeError):
    """A line of ``listen`` is wrong."""


@dataclass(frozen=True, slots=True)
class Line:
    """One address and port to listen on."""

    address: str
    port: int
    ssl: str | None = None
    """The section with the settings of TLS, ``""`` for the container's section; None: no TLS."""
    optional: bool = False
    """Whether it is skipped on a system without such addresses."""


def read_listen(text: str, section: str) -> Iterator[Line]:
    """Yield the address and port of each line of *text*; ListenError, which names *section*, if one is wrong.

    ``8080`` means all addresses of IPv4 and of IPv6; ``0.0.0.0 8080``, ``0.0.0.0:8080``, ``:: 8080`` and
    ``[::]:8080`` mean one address. ``ssl`` after it means TLS with the settings of the section itself,
    ``ssl:name`` TLS with those of ``[ssl:name]``.
    """
    for line in filter(None, map(str.strip, text.splitlines())):
        address, port_text, parameters = _split(line)
        if not port_text.isdecimal() or int(port_text) > _HIGHEST_PORT:
            raise ListenError(
                f"[{section}] listen={line}: write a port from 0 to {_HIGHEST_PORT}, or an address and a "
                "port, such as 0.0.0.0 8080."
            )
        port, ssl = int(port_text), _ssl(parameters, section)
        if address:
            yield Line(address, port, ssl)
        else:
            yield Line("0.0.0.0", port, ssl)  # noqa: S104 - as configured
            yield Line("::", port, ssl, optional=True)


def _split(line: str) -> tuple[str, str, list[str]]:
    """Return address, port and the rest of a line; no port if there is none."""
    first, *words = line.split()
    if first.isdecimal():
        return "", first, words
    if words and words[0].isdecimal():
        return first.strip("[]"), words[0], words[1:]
    address, colon, port = first.rpartition("]:" if first.startswith("[") else ":")
    return address.strip("[]"), port if colon else "", words


def _ssl(parameters: list[str], section: str) -> str | None:
    ssl = None
    for parameter in parameters:
        if parameter == "ssl":
            ssl = ""
        elif parameter.startswith("ssl:"):
            ssl = parameter
        else:
            raise ListenError(
                f"Unknown listen parameter in section [{section}]: {parameter}. After the port there may be "
                "ssl, or ssl:NAME with the section [ssl:NAME]."
            )
    return ssl
