"""What a service holds after it advertised itself: change the record, drain, withdraw."""

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from peerage.errors import PeerageError
from peerage.records.build import Ids, build_record
from peerage.records.identity import Identity
from peerage.records.instance import DRAINING, decode
from peerage.registry import Advertisement, Registry

__all__ = ["LAME_DUCK", "Offer", "Registration", "complain", "registered_or", "withdraw_all"]

log = logging.getLogger(__name__)

#: Seconds between publishing that an instance drains and withdrawing it, by default.
LAME_DUCK: Final = 1.0

#: Seconds that a registry out of reach has for saying that it refuses.
REFUSAL_TIMEOUT: Final = 0.2

#: Seconds that closing waits for a registry that isn't ours to close.
WITHDRAW_TIMEOUT: Final = 0.9

_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Everything that is advertised about one registration."""

    identity: Identity
    web: Sequence[tuple[str, int]] | None = None
    ids: Ids | None = None
    scheme: str = "http"
    weight: float | None = None
    extra: Mapping[str, Any] | None = None
    state: str | None = None
    auth_key: Mapping[str, Any] | None = None
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    """Tells a record of ours from a twin of it whose creation was never confirmed."""

    def __post_init__(self) -> None:
        """Keep a copy: neither what the caller does with its own later nor an iterator read once matters."""
        if self.ids is not None:
            object.__setattr__(self, "ids", {key: _kept(values) for key, values in self.ids.items()})
        if self.extra is not None:
            object.__setattr__(self, "extra", dict(self.extra))

    def record(self) -> bytes:
        """Return the bytes to advertise.

        Raises:
            RecordError: something of it can't be advertised.
        """
        return build_record(
            self.identity,
            web=self.web,
            ids=self.ids,
            scheme=self.scheme,
            weight=self.weight,
            extra=self.extra,
            state=self.state,
            nonce=self.nonce,
            auth_key=self.auth_key,
        )


class Registration:
    """A service's record in the registry until withdrawn; made by :meth:`peerage.Discovery.advertise`."""

    def __init__(
        self, registry: Registry, offer: Offer, on_withdraw: Callable[["Registration"], None]
    ) -> None:
        self._offer = offer
        self._on_withdraw = on_withdraw
        # Opaque to readers. Names of classes may have other letters, too.
        name = _NO_NAME.sub("_", offer.identity.appclass)
        self._advertisement: Advertisement = registry.advertise(name, offer.record())

    def names(self) -> tuple[tuple[str, str], ...]:
        """Return the ``(key, value)`` pairs, folded, under which it is advertised."""
        instance = decode("", self._offer.record()).instance
        return () if instance is None else instance.ids

    @property
    def name(self) -> str | None:
        """Name of the record in the registry; None while not registered, another after a lost session."""
        return self._advertisement.name

    async def registered(self) -> str:
        """Wait until the record is in the registry as given last, and return its node.

        Raises:
            RegistryDeniedError: access, size or path; trying again won't help.
            RegistryClosedError: withdrawn or closed meanwhile.
        """
        return await self._advertisement.registered()

    def update(
        self,
        *,
        ids: Ids | None = None,
        extra: Mapping[str, Any] | None = None,
        web: Sequence[tuple[str, int]] | None = None,
        scheme: str | None = None,
        identity: Identity | None = None,
    ) -> None:
        """Advertise something else, in place: same record, no gap. What is None stays as it is.

        Returns at once; with the registry out of reach, the last update is written when it is back.

        Args:
            ids: custom ids, all of them.
            extra: further fields, all of them.
            web: where it listens.
            scheme: what is spoken there.
            identity: who it is.

        Raises:
            RecordError: something of it can't be advertised; the record stays as it was.
            RegistryDeniedError: the record would be too large; it stays as it was.
        """
        changes = {"ids": ids, "extra": extra, "web": web, "scheme": scheme, "identity": identity}
        self._change(**{what: value for what, value in changes.items() if value is not None})

    async def drain(self, lame_duck: float = LAME_DUCK) -> None:
        """Leave without a failed call: publish that no new requests are wanted, wait, withdraw.

        Call it before the server stops listening. It withdraws at once if cancelled meanwhile, and if the
        state can't be published, which is logged.

        Args:
            lame_duck: seconds to wait between the two, for callers that haven't heard yet.
        """
        try:
            self._change(state=DRAINING)
            with suppress(TimeoutError):
                # Callers can't heed what isn't published yet.
                async with asyncio.timeout(lame_duck):
                    await self.registered()
            await asyncio.sleep(lame_duck)
        except PeerageError as error:
            log.warning("Withdrawn without draining: %s", error)
        finally:
            await self.withdraw()

    async def withdraw(self) -> None:
        """Remove the record for good; may be called twice."""
        try:
            await self._advertisement.withdraw()
        finally:
            # Also when cancelled: the advertisement goes on to remove the record.
            self._on_withdraw(self)

    def _change(self, **changes: Any) -> None:
        offer = replace(self._offer, **changes)
        self._advertisement.update(offer.record())
        self._offer = offer


async def registered_or(registration: Registration, stale: Coroutine[Any, Any, None]) -> None:
    """Wait until others can find it, or *stale* says that the registry is out of reach; raise a refusal."""
    registered = asyncio.ensure_future(registration.registered())
    lost = asyncio.ensure_future(stale)
    try:
        await asyncio.wait((registered, lost), return_when=asyncio.FIRST_COMPLETED)
        # A registry that refuses is out of reach for the follower, too: a refusal has its say first.
        await asyncio.wait((registered,), timeout=REFUSAL_TIMEOUT)
        if registered.done():
            registered.result()
    finally:
        registered.cancel()
        lost.cancel()
        await asyncio.gather(registered, lost, return_exceptions=True)


async def withdraw_all(registrations: Iterable[Registration]) -> None:
    """Withdraw from a registry that stays open; one that hangs does it when it can."""
    withdrawals = [asyncio.ensure_future(each.withdraw()) for each in tuple(registrations)]
    if withdrawals:
        _, hanging = await asyncio.wait(withdrawals, timeout=WITHDRAW_TIMEOUT)
        for withdrawal in hanging:
            withdrawal.cancel()
        await asyncio.gather(*withdrawals, return_exceptions=True)


def _kept(values: Any) -> Any:
    """Return *values* in a list if they are several; whether they are ids is for the record to say."""
    several = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
    return list(values) if several else values


def complain(identity: Identity) -> None:
    """Say once per advertisement what makes a service hard to find."""
    if not (identity.instance_id or identity.service_id or identity.node_id or identity.site_id):
        log.warning(
            "This service has no name by which others find it: "
            "set SERVICE_ID and INSTANCE_ID in its environment."
        )
    elif identity.service_id and identity.service_id != identity.service_id.lower():
        log.warning("SERVICE_ID=%r should be lower case: hosts in URLs always are.", identity.service_id)
