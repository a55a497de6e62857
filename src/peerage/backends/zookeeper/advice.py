"""What to do when there is no connection: the reason alone is a text of OpenSSL or of the network."""

from typing import Final

from peerage.backends.zookeeper.location import Credentials, Location
from peerage.backends.zookeeper.tls import variable

#: Words that reasons have, in small letters; those of OpenSSL are the same in all its versions.
_CREDENTIALS: Final = ("credentials", "requiresasl")
_UNVERIFIED: Final = "certificate verify failed"
_OTHER_NAME: Final = ("mismatch", "not valid for")
_ALERT: Final = ("alert", "certificate")
_NOT_TLS: Final = ("[ssl", "tls")


def lacks_credentials(reason: str) -> bool:
    """Tell whether *reason* is that the server wants credentials, or others."""
    return any(word in reason.lower() for word in _CREDENTIALS)


def advice(reason: str, location: Location) -> str:
    """Return the message that there is no connection because of *reason*, and what to do about it."""
    what, todo = advise(reason, location)
    return f"{what}: {todo}."


def advise(reason: str, location: Location) -> tuple[str, str]:
    """Return what is wrong if there is no connection because of *reason*, and what to do about it."""
    said = reason.lower()
    if lacks_credentials(reason):
        return _advise_credentials(location.credentials)
    if _UNVERIFIED in said and any(word in said for word in _OTHER_NAME):
        what = "The server's certificate is for another name"
        todo = "write the host in the registry's URL as the certificate has it, or check_hostname=no"
    elif _UNVERIFIED in said:
        what = "The server's certificate isn't trusted"
        todo = (
            f"name the authority that signed it with ca= or {variable('ca')}, and see that it hasn't expired"
        )
    elif all(word in said for word in _ALERT) and (location.tls is None or not location.tls.certificate):
        what = "The server asks for a client certificate"
        todo = f"name one that it trusts with cert= and key=, or {variable('cert')} and {variable('key')}"
    elif all(word in said for word in _ALERT):
        what = "The server doesn't accept the client certificate"
        todo = "name one that it trusts with cert= and key=, and see that it hasn't expired"
    elif any(word in said for word in _NOT_TLS):
        what = "The server doesn't speak as expected"
        todo = (
            "check the port in the registry's URL, which is the server's secureClientPort with "
            "zookeeper+tls://, its clientPort with zookeeper://"
        )
    else:
        what = "No server answers"
        todo = "check that ZooKeeper runs, and the hosts in the registry's URL"
    return f"{what} ({reason})", todo


def _advise_credentials(credentials: Credentials | None) -> tuple[str, str]:
    if credentials is None:
        what = "The server requires credentials"
        todo = "write zookeeper://user:password@host, and auth=sasl if it asks for SASL"
    else:
        what = "The server doesn't accept the credentials"
        todo = f"check the user and the password, and that auth={credentials.mechanism} is what it asks for"
    return what, todo
