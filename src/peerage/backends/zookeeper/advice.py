"""What to do when there is no connection: the reason alone is a text of OpenSSL or of the network."""

from typing import Final

from peerage.backends.zookeeper.location import Location
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
    said = reason.lower()
    if lacks_credentials(reason):
        return _of_credentials(location)
    if _UNVERIFIED in said:
        return _of_the_servers_certificate(reason, other_name=any(word in said for word in _OTHER_NAME))
    if all(word in said for word in _ALERT):
        return _of_our_certificate(reason, location)
    if any(word in said for word in _NOT_TLS):
        return (
            f"The server doesn't speak as expected ({reason}): check the port in the registry's URL, which "
            "is the server's secureClientPort with zookeeper+tls://, its clientPort with zookeeper://."
        )
    return f"No server answers ({reason}): check that ZooKeeper runs, and the hosts in the registry's URL."


def _of_credentials(location: Location) -> str:
    if location.credentials is None:
        return (
            "The server requires credentials: write zookeeper://user:password@host, and "
            "auth=sasl if it asks for SASL."
        )
    return (
        "The server doesn't accept the credentials: check the user and the password, and that "
        f"auth={location.credentials.mechanism} is what it asks for."
    )


def _of_the_servers_certificate(reason: str, *, other_name: bool) -> str:
    if other_name:
        return (
            f"The server's certificate is for another name ({reason}): write the host in the registry's URL "
            "as the certificate has it, or check_hostname=no."
        )
    return (
        f"The server's certificate isn't trusted ({reason}): name the authority that signed it with ca= or "
        f"{variable('ca')}, and see that it hasn't expired."
    )


def _of_our_certificate(reason: str, location: Location) -> str:
    if location.tls is None or location.tls.certificate is None:
        return (
            f"The server asks for a client certificate ({reason}): name one that it trusts with cert= and "
            f"key=, or {variable('cert')} and {variable('key')}."
        )
    return (
        f"The server doesn't accept the client certificate ({reason}): name one that it trusts with cert= "
        "and key=, and see that it hasn't expired."
    )
