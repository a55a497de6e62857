"""The servers, path and credentials of a ZooKeeper registry, from its URL and the environment.

Messages never repeat a part of the URL's text: with a '/' or '?' in a password, or the host forgotten, any
part of it may be the password.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes

from peerage.backends.zookeeper.tls import KEY_PASSWORD, Tls, variable
from peerage.errors import ConfigurationError

DEFAULT_PORT: Final = 2181
DEFAULT_PATH: Final = "/asab"
DEFAULT_SESSION_TIMEOUT: Final = 10.0

_SHORTEST_SESSION: Final = 0.4
_LONGEST_SESSION: Final = 600.0

_PLAIN: Final = "zookeeper"
_TLS: Final = "zookeeper+tls"

_EXAMPLE: Final = "zookeeper://zk-1:2181,zk-2:2181/asab"

_OPTIONS: Final = ("session_timeout", "auth", "acl")
_TLS_OPTIONS: Final = ("ca", "cert", "key", "check_hostname")

_USER: Final = "PEERAGE_ZOOKEEPER_USER"
_PASSWORD: Final = "PEERAGE_ZOOKEEPER_PASSWORD"  # noqa: S105 - the name of a variable
_PASSWORD_FILE: Final = "PEERAGE_ZOOKEEPER_PASSWORD_FILE"  # noqa: S105 - likewise

#: Characters of a password file's first line, at most.
_LONGEST_PASSWORD: Final = 4096

_AUTHORITY = re.compile(r"[^/?#]*")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?)(?::([0-9]{1,5}))?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")

#: Characters that ZooKeeper refuses in a path. It sees UTF-16, so all beyond 16 bits are surrogates to it.
_FORBIDDEN = re.compile("[\0-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]")
#: The servers' own node at the root.
_RESERVED: Final = "zookeeper"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials that this process shows to ZooKeeper."""

    mechanism: Literal["digest", "sasl"]
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Location:
    """The servers, the path of one registry, and the credentials for it."""

    hosts: str
    """The servers, each with its port: ``zk-1:2181,[::1]:2181``."""
    path: str
    """Of the registry, without a slash at its end: ``/asab``; empty for the root."""
    session_timeout: float
    """Seconds after which the servers consider a silent process dead."""
    credentials: Credentials | None
    tls: Tls | None
    acl: str
    """``open``: every client may write our nodes; ``creator``: only processes with our credentials may."""
    explicit_acl: bool
    """Whether the user chose it, in the URL or the environment."""
    url: str
    """The normal form of the URL, without any credential."""

    @property
    def folder(self) -> str:
        """Path of the node whose children are the records."""
        return f"{self.path}/run"


def parse(url: str, environ: Mapping[str, str] = os.environ) -> Location:
    """Return the location that ``zookeeper://[user:password@]host[:port][,…][/path][?options]`` names.

    ``zookeeper+tls://`` likewise, over TLS. What the URL leaves open is looked up in *environ*.

    Raises:
        ConfigurationError: the URL or a variable can't work; the message has no credential in it.
    """
    scheme, authority, path_text, query = _split(url)
    userinfo, _, host_list = authority.rpartition("@")
    if not host_list:
        raise ConfigurationError(f"The URL has no host: write {_EXAMPLE}.")
    hosts = ",".join(_host(text, number) for number, text in enumerate(host_list.split(","), 1))
    path = _path(path_text)
    options = _options(query, tls=scheme == _TLS)
    session_timeout = _session_timeout(options)
    credentials = _credentials(userinfo, options, environ)
    acl = _choice(options, environ, "acl", ("open", "creator"))
    if acl == "creator" and credentials is None:
        raise ConfigurationError(
            "acl=creator needs credentials: "
            f"write zookeeper://user:password@host, set {_USER} and {_PASSWORD}, or write acl=open."
        )
    return Location(
        hosts=hosts,
        path=path,
        session_timeout=session_timeout,
        credentials=credentials,
        tls=_tls(options, environ) if scheme == _TLS else None,
        acl=acl or ("open" if credentials is None else "creator"),
        explicit_acl=acl is not None,
        url=f"{scheme}://{hosts}{quote(path) or '/'}{_normal_query(session_timeout, acl)}",
    )


def _normal_query(session_timeout: float, acl: str | None) -> str:
    options = []
    if session_timeout != DEFAULT_SESSION_TIMEOUT:
        options.append(f"session_timeout={str(session_timeout).removesuffix('.0')}")
    if acl == "open":
        # "creator" is implied by credentials, and can't be written without them.
        options.append("acl=open")
    return "?" * bool(options) + "&".join(options)


def _split(url: str) -> tuple[str, str, str, str]:
    # Not urlsplit: it drops tabs and newlines, in a password too, and its errors repeat what they refuse.
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {_PLAIN, _TLS}:
        raise ConfigurationError(
            f"The URL of a ZooKeeper registry begins with zookeeper:// or zookeeper+tls://: write {_EXAMPLE}."
        )
    match = _AUTHORITY.match(rest)
    authority = match[0] if match else ""
    tail = rest[len(authority) :]
    if "@" in tail or authority.count("@") > 1:
        raise ConfigurationError(
            "The URL has an '@' that isn't between the credentials and the hosts: in a user or password "
            "write %2F for '/', %3F for '?', %23 for '#' and %40 for '@'; after the hosts, %40."
        )
    if "#" in tail:
        raise ConfigurationError(
            f"The URL of a ZooKeeper registry has no '#' part: write {_EXAMPLE}, and %23 for a '#' in a path."
        )
    path, _, query = tail.partition("?")
    return scheme, authority, path, query


def _host(text: str, number: int) -> str:
    if not text:
        raise ConfigurationError(
            f"Host {number} of the URL is empty: write {_EXAMPLE}, one ',' between two hosts "
            "and none at the end."
        )
    match = _HOST.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"Host {number} of the URL can't be read: write host:port with a port of 1 to 65535, an IPv6 "
            "address as [::1]:2181, and credentials, if any, as user:password@ before the first host."
        )
    host, port = match[1].lower(), int(match[2] or DEFAULT_PORT)
    if not 1 <= port <= 65535:  # noqa: PLR2004 - what a port is
        raise ConfigurationError(
            f"The port of host {number} of the URL can't be: write one of 1 to 65535, or none "
            f"for {DEFAULT_PORT}."
        )
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1])}]"
        except ValueError:
            host = ""
    if not host:
        raise ConfigurationError(f"Host {number} of the URL isn't an IPv6 address: write it as [::1]:2181.")
    return f"{host}:{port}"


def _path(text: str) -> str:
    if not text:
        return DEFAULT_PATH
    text = text.removesuffix("/")
    if not text:
        return ""
    segments = [_decoded(segment, "the path") for segment in text.split("/")[1:]]
    for number, segment in enumerate(segments, 1):
        encoded_slash = "has a '/' as %2F: a component has none" if "/" in segment else None
        problem = encoded_slash or flaw(segment, number)
        if problem is not None:
            raise ConfigurationError(f"Component {number} of the URL's path {problem}.")
    return "/" + "/".join(segments)


def flaw(component: str, number: int) -> str | None:
    """Return what is wrong with a component, and what to do, None if nothing is; the first is *number* 1."""
    if not component:
        return "is empty: write one '/' between two components"
    if component in {".", ".."}:
        return "is '.' or '..': write the path without"
    if _FORBIDDEN.search(component):
        return "has a control character or another that ZooKeeper refuses: write it without"
    if number == 1 and component == _RESERVED:
        return "is 'zookeeper', which the servers keep for themselves: choose another, as /asab"
    return None


def _decoded(text: str, where: str) -> str:
    if _BAD_PERCENT.search(text):
        raise ConfigurationError(
            f"A '%' in {where} of the URL isn't followed by two hex digits: write %25 for '%'."
        )
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        pass
    # Not within the handler: the error there holds the text.
    raise ConfigurationError(f"What follows a '%' in {where} of the URL isn't UTF-8: write %C3%A9 for 'é'.")


def _options(query: str, *, tls: bool) -> dict[str, str]:
    known = _OPTIONS + _TLS_OPTIONS * tls
    options: dict[str, str] = {}
    for number, pair in enumerate(query.split("&"), 1):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if name in _TLS_OPTIONS and not tls:
            raise ConfigurationError(f"The option {name} is for TLS: write zookeeper+tls:// or leave it out.")
        if name not in known:
            raise ConfigurationError(
                f"Option {number} of the URL isn't one of ZooKeeper's: write {', '.join(known[:-1])} "
                f"or {known[-1]}; credentials are written before the hosts or set in {_USER} and {_PASSWORD}."
            )
        if name in options:
            raise ConfigurationError(f"The URL has the option {name} twice: write it once.")
        if not value:
            raise ConfigurationError(f"The option {name} has no value: write {name}=… or leave it out.")
        options[name] = _decoded(value, f"the option {name}")
    return options


def _setting(options: Mapping[str, str], environ: Mapping[str, str], option: str) -> str | None:
    return options.get(option) or environ.get(variable(option)) or None


def _choice(
    options: Mapping[str, str], environ: Mapping[str, str], option: str, choices: tuple[str, str]
) -> str | None:
    value = _setting(options, environ, option)
    if value is not None and value not in choices:
        where = "The option" if option in options else f"{variable(option)}: the option"
        raise ConfigurationError(f"{where} {option} is one of two: write {choices[0]} or {choices[1]}.")
    return value


def _session_timeout(options: Mapping[str, str]) -> float:
    text = options.get("session_timeout")
    if text is None:
        return DEFAULT_SESSION_TIMEOUT
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not _SHORTEST_SESSION <= seconds <= _LONGEST_SESSION:
        raise ConfigurationError(
            f"The option session_timeout is a number of seconds from {_SHORTEST_SESSION} to "
            f"{_LONGEST_SESSION:.0f}: write session_timeout={DEFAULT_SESSION_TIMEOUT:.0f}."
        )
    return seconds


def _tls(options: Mapping[str, str], environ: Mapping[str, str]) -> Tls:
    certificate = _setting(options, environ, "cert")
    key = _setting(options, environ, "key")
    if key is not None and certificate is None:
        raise ConfigurationError(
            f"There is a key but no certificate: name the certificate's file with cert= or "
            f"{variable('cert')}."
        )
    # In the URL only: a lower level of safety must be visible where the servers are named.
    check_hostname = _choice(options, {}, "check_hostname", ("yes", "no"))
    password = environ.get(KEY_PASSWORD) or None
    if password is not None:
        _check_text(password, KEY_PASSWORD)
    return Tls(
        ca=_setting(options, environ, "ca"),
        certificate=certificate,
        key=key,
        password=password,
        check_hostname=check_hostname != "no",
    )


def _credentials(userinfo: str, options: Mapping[str, str], environ: Mapping[str, str]) -> Credentials | None:
    user_text, _, password_text = userinfo.partition(":")
    user = _decoded(user_text, "the user") or environ.get(_USER)
    password = _decoded(password_text, "the password") or environ.get(_PASSWORD)
    password_file = environ.get(_PASSWORD_FILE)
    sasl = _choice(options, environ, "auth", ("digest", "sasl")) == "sasl"
    if not user:
        if password or password_file:
            raise ConfigurationError(
                f"There is a password but no user: write zookeeper://user:password@host or set {_USER}."
            )
        if sasl:
            raise ConfigurationError(
                f"auth=sasl needs credentials: write zookeeper://user:password@host or set "
                f"{_USER} and {_PASSWORD}."
            )
        return None
    if not password and password_file:
        password = _first_line(password_file)
    if not password:
        raise ConfigurationError(
            "There is a user but no password: write zookeeper://user:password@host or set "
            f"{_PASSWORD} or {_PASSWORD_FILE}."
        )
    if ":" in user and not sasl:
        raise ConfigurationError(
            "The user has a ':', where ZooKeeper's digest ends it: use a user without, or auth=sasl."
        )
    _check_text(user, _USER)
    _check_text(password, _PASSWORD)
    return Credentials("sasl" if sasl else "digest", user, password)


def _check_text(text: str, variable: str) -> None:
    # Bytes of the environment that aren't UTF-8 become lone surrogates.
    if _SURROGATE.search(text):
        raise ConfigurationError(f"{variable} isn't UTF-8: set it in UTF-8.")


def _first_line(file: str) -> str:
    # The message doesn't repeat the name: it may be the password itself, put there by mistake.
    try:
        with open(file, encoding="utf-8") as stream:  # noqa: PTH123 - a Path costs more than the reading
            line = stream.readline(_LONGEST_PASSWORD + 1)
    except OSError as error:
        problem = f"can't be read ({error.strerror})"
    except ValueError:
        problem = "isn't UTF-8 text, or its name can't be"
    else:
        if len(line) > _LONGEST_PASSWORD:
            problem = f"has a first line of over {_LONGEST_PASSWORD} characters"
        elif password := line.strip():
            return password
        else:
            problem = "has an empty first line"
    raise ConfigurationError(
        f"The file that {_PASSWORD_FILE} names {problem}: "
        "name a file that this user may read, with the password in its first line."
    )
