"""The failures of requests to ZooKeeper.

They are internal: what leaves the backend is Stale, RegistryDeniedError or RegistryClosedError.
"""

from typing import Final

from kazoo.exceptions import EXCEPTIONS, KazooException, SystemZookeeperError


class Failure(Exception):  # noqa: N818 - the root of answers, not all of which are errors
    """The server answered with an error; the text is its name in ZooKeeper's terms."""


class Lost(Failure):
    """No answer: the connection or the session ended. Whether the request was carried out isn't known."""


class NoNode(Failure):
    """There is no such node."""


class NodeExists(Failure):
    """There is such a node already."""


class BadVersion(Failure):
    """The node doesn't have the expected version: it was written meanwhile, or is another node."""


class NoAuth(Failure):
    """The access list of the node, or of its parent, forbids it."""


class Throttled(Failure):
    """The server has too much to do and left the request undone: it can be sent again."""


class Unsupported(Failure):
    """The server doesn't know the request."""


_KINDS: Final[dict[type[Failure], tuple[str, ...]]] = {
    NoNode: ("NoNode",),
    NodeExists: ("NodeExists",),
    BadVersion: ("BadVersion",),
    NoAuth: ("NoAuth", "InvalidACL"),
    Lost: (
        "ConnectionLoss",
        "SessionExpired",
        "SessionMoved",
        "UnknownSession",
        "OperationTimeout",
        "RequestTimeout",
        "NotReadOnlyCall",
        "AuthFailed",
        "SessionClosedRequireSasl",
    ),
    Throttled: ("ThrottledOp",),
    # A server whose watches can't be recursive answers with a marshalling error instead of "unimplemented".
    Unsupported: ("Unimplemented", "Marshalling", "BadArguments"),
}
_KIND: Final = {name: kind for kind, names in _KINDS.items() for name in names}


def failure_of(error: BaseException) -> Failure:
    """Return the failure for an exception of kazoo, or for one that kazoo didn't expect."""
    name = type(error).__name__.removesuffix("Error")
    if isinstance(error, KazooException) and not isinstance(error, SystemZookeeperError):
        return _KIND.get(name, Failure)(name)
    return Failure(f"{name}: {error}")


def error_of(code: int) -> KazooException:
    """Return kazoo's exception for one of ZooKeeper's error numbers."""
    made: KazooException = EXCEPTIONS[code]()
    return made
