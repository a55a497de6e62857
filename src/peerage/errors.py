"""The errors of peerage, as one tree.

::

    PeerageError
    ├── ConfigurationError            (ValueError)           a URL, option or id that can't work
    │   └── RecordError                                      what was to be advertised isn't valid
    ├── MissingExtraError             (ModuleNotFoundError)  an optional package isn't installed
    ├── RegistryError                                        the registry refused or can't be used
    │   ├── RegistryDeniedError                              access, size or path
    │   └── RegistryClosedError                              used before it was opened or after aclose()
    ├── NotReadyError                 (TimeoutError)         no snapshot of the registry within the time limit
    ├── DeadlineExceededError         (TimeoutError)         the deadline of a call or a block has passed
    ├── NotDiscoveredError            (RuntimeError)         no callable instance has that id
    ├── TokenRefusedError                                    the caller's token is missing or not valid
    ├── AccessDeniedError             (PermissionError)      the caller is known and may not do this
    ├── KeysUnavailableError                                 no key to verify or to sign with, for now
    └── UnreachableError              (aiohttp.ClientConnectorError)
                                                             instances are known, but none could be reached;
                                                             ``__cause__`` is the last failure

``UnreachableError`` is an aiohttp error and therefore lives in :mod:`peerage.client`;
``peerage.UnreachableError`` loads it on first use.
"""

__all__ = [
    "AccessDeniedError",
    "ConfigurationError",
    "DeadlineExceededError",
    "KeysUnavailableError",
    "MissingExtraError",
    "NotDiscoveredError",
    "NotReadyError",
    "PeerageError",
    "RecordError",
    "RegistryClosedError",
    "RegistryDeniedError",
    "RegistryError",
    "TokenRefusedError",
]


class PeerageError(Exception):
    """The root of the tree: ``except PeerageError`` catches all of it."""


class ConfigurationError(PeerageError, ValueError):
    """A registry URL, an option or an id that can't work."""


class RecordError(ConfigurationError):
    """What was to be advertised isn't a valid record."""


class MissingExtraError(PeerageError, ModuleNotFoundError):
    """An optional package is needed and not installed; the message has the pip line."""


class RegistryError(PeerageError):
    """The registry refused, or can't be used as it is."""


class RegistryDeniedError(RegistryError):
    """The registry refuses a record or a secret: access, size or path."""


class RegistryClosedError(RegistryError):
    """The registry or the Discovery isn't open: not yet, or not any more."""


class NotReadyError(PeerageError, TimeoutError):
    """No snapshot of the registry arrived within the time limit."""


class DeadlineExceededError(PeerageError, TimeoutError):
    """A deadline has passed; the message says what was waited for."""


class NotDiscoveredError(PeerageError, RuntimeError):
    """No callable instance is known by the name asked for."""


class TokenRefusedError(PeerageError):
    """A token isn't valid, or there is none.

    The reason is for the log; the caller only learns that the token was refused.

    Args:
        reason: a short code, one of :class:`peerage.auth.Reason`.
        message: what is wrong; never the token or a part of it.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class AccessDeniedError(PeerageError, PermissionError):
    """The caller is known and may not do this."""


class KeysUnavailableError(PeerageError):
    """There is no key to verify or to sign with, for now: it says nothing about the token.

    Args:
        message: what keeps the keys away, and what to do about it.
        retry_after: seconds after which they are looked for again.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
