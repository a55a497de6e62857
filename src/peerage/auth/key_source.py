"""A place that public keys come from, as the verifier sees it."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from peerage.auth.jose import PublicKey, Token
from peerage.errors import KeysUnavailableError

__all__ = ["KeySource"]


class KeySource(Protocol):
    """Public keys, and the rules for the tokens that they sign."""

    @property
    def name(self) -> str:
        """How messages call it; without credentials."""

    def refresh(self, *, missing: bool = False) -> Awaitable[object] | None:
        """Begin to bring the keys up to date if that is needed; called before every use.

        Args:
            missing: whether a token has come that none of the known keys has signed.

        Returns:
            What to wait for before the keys are used; None if they can be used at once.
        """

    def candidates(self, token: Token) -> Sequence[PublicKey]:
        """Return the keys that may have signed *token*, which isn't verified yet."""

    def check(self, claims: Mapping[str, Any]) -> None:
        """Raise TokenRefusedError if a token of one of these keys must not make these claims."""

    def holds(self, key: PublicKey, claims: Mapping[str, Any]) -> bool:
        """Tell whether a token that was accepted before is still good, going by its key and its audience."""

    def unavailable(self) -> KeysUnavailableError | None:
        """Return the error to raise if no key is known at all; None if one is."""
