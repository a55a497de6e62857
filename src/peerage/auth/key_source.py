"""A place that public keys come from, as the verifier sees it."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from peerage.auth.jose import PublicKey, Token, fitting
from peerage.errors import KeysUnavailableError

__all__ = ["KeySource"]


class KeySource(Protocol):
    """Public keys, and the rules for the tokens that they sign."""

    name: str
    """How messages call it; without credentials."""

    @property
    def keys(self) -> Sequence[PublicKey]:
        """The keys that are known; none if they depend on the token."""
        return ()

    def refresh(self, *, missing: bool = False) -> Awaitable[object] | None:
        """Begin to bring the keys up to date if that is needed; called before every use.

        Args:
            missing: whether a token has come that none of the known keys has signed.

        Returns:
            What to wait for before the keys are used; None if they can be used at once.
        """

    def candidates(self, token: Token) -> Sequence[PublicKey]:
        """Return the keys that may have signed *token*, which isn't verified yet."""
        return fitting(self.keys, token)

    def check(self, claims: Mapping[str, Any]) -> None:
        """Raise TokenRefusedError if a token of one of these keys must not make these claims."""

    def holds(self, key: PublicKey, claims: Mapping[str, Any]) -> bool:  # noqa: ARG002 - for sources that need them
        """Tell whether a token that was accepted before is still good, going by its key and its audience."""
        return key in self.keys

    def unavailable(self) -> KeysUnavailableError | None:
        """Return the error to raise if no key is known at all; None if one is."""
