"""A service's record in the registry: change it, drain, withdraw."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, Unpack

from peerage.errors import PeerageError
from peerage.records.advert import Advert, AdvertFields
from peerage.records.build import build_record
from peerage.records.decode import decode
from peerage.records.instance import DRAINING, Instance
from peerage.registry import Advertisement, Registry

log = logging.getLogger(__name__)

#: Seconds between publishing that an instance drains and withdrawing it, by default.
LAME_DUCK: Final = 1.0

#: Seconds that closing waits for a registry that the caller owns.
WITHDRAW_TIMEOUT: Final = 0.9

#: Seconds that a withdrawal has for being announced, and a record that is being created for appearing.
_ANNOUNCE_TIMEOUT: Final = 0.3

#: Ids of a service that one line of the log shows, at most.
_SHOWN_IDS: Final = 8

#: Characters that the name of a record can't have, unlike the name of a class.
_IMPOSSIBLE: Final = re.compile(r"[^A-Za-z0-9_.-]")


class Registration:
    """A service's record in the registry until withdrawn; made by :meth:`peerage.Discovery.advertise`.

    Args:
        registry: keeps the record.
        advert: what is advertised, with an identity.
        auth_key: public key, as JWK, by which tokens of this instance are verified.
        nonce: what no other record has.
        process_key: returns what tells this process from others with its number, given the number; None if
            that is another one, as an identity may be that of another process.
        on_withdraw: called once, when the record is withdrawn.

    Raises:
        RecordError: something of *advert* can't be advertised.
        RegistryDeniedError: the record is too large.
    """

    def __init__(
        self,
        registry: Registry,
        advert: Advert,
        *,
        auth_key: Mapping[str, Any] | None = None,
        nonce: str,
        process_key: Callable[[int], str | None],
        on_withdraw: Callable[["Registration"], object],
    ) -> None:
        self._registry = registry
        self._advert = advert
        self._auth_key = auth_key
        # Distinguishes this record from another one of the same process whose creation wasn't confirmed.
        self._nonce = nonce
        self._process_key = process_key
        self._on_withdraw = on_withdraw
        self._withdrawn = False
        self.draining = False
        """Whether :meth:`drain` was called."""
        self._logged_name: str | None = None
        self._instance = self._build(advert)
        name = _IMPOSSIBLE.sub("_", advert.who().appclass)
        self._advertisement: Advertisement = registry.advertise(name, self._instance.data)
        _warn_about(advert, self._instance)
        self._unsubscribe = registry.own_records.subscribe(self._log_registered)
        if self._advertisement.name is not None:
            self._log_registered(self._advertisement.name)

    @property
    def name(self) -> str | None:
        """Name of the record in the registry; None while not registered, another after a lost session."""
        return self._advertisement.name

    @property
    def ids(self) -> tuple[tuple[str, str], ...]:
        """The ``(key, value)`` pairs, folded, by which it is found."""
        return self._instance.ids

    async def registered(self) -> str:
        """Wait until the record is in the registry as given last, and return its name.

        Raises:
            RegistryDeniedError: access, size or path.
            RegistryClosedError: withdrawn or closed meanwhile.
        """
        return await self._advertisement.registered()

    def update(self, advert: Advert | None = None, /, **fields: Unpack[AdvertFields]) -> None:
        """Advertise something else, in place: same record, no gap.

        Returns at once; with the registry out of reach, the last update is written when it is back.

        Args:
            advert: replaces everything; its identity, if None, stays.
            fields: of :class:`peerage.Advert`; what isn't given stays.

        Raises:
            RecordError: something of it can't be advertised; the record stays as it was.
            RegistryDeniedError: the record would be too large; it stays as it was.
        """
        if advert is not None:
            identity = advert.identity or self._advert.identity
            advert = replace(advert, identity=identity, state=advert.state or self._advert.state)
        self._change((advert or self._advert).changed(**fields))

    async def drain(self, lame_duck: float = LAME_DUCK) -> None:
        """Leave without a failed call: publish that no new requests are wanted, wait, withdraw.

        Call it before the server stops listening. It withdraws at once if cancelled meanwhile, if the
        registry refuses the state, which is logged, and if the record was never there.

        Args:
            lame_duck: seconds to wait between the two, for callers that haven't heard yet.
        """
        self.draining = True
        try:
            if await self._is_registered():
                await self._publish_draining(lame_duck)
                await asyncio.sleep(lame_duck)
        except PeerageError as error:
            log.warning("Withdrawn without draining: %s", error)
        finally:
            await self.withdraw()

    async def _is_registered(self) -> bool:
        """Tell whether others may know the record; wait a moment for one that is being created."""
        if self._logged_name is None and self.name is None:
            with suppress(TimeoutError, PeerageError):
                async with asyncio.timeout(_ANNOUNCE_TIMEOUT):
                    await self.registered()
        return self._logged_name is not None or self.name is not None

    async def _publish_draining(self, patience: float) -> None:
        """Return when callers can hear of it, or after *patience* seconds."""
        self._change(replace(self._advert, state=DRAINING))
        try:
            async with asyncio.timeout(patience):
                await self.registered()
        except TimeoutError:
            if patience:
                place = self._logged_name, self._registry.url, patience
                log.warning(
                    "Callers may not know that %s drains: %s didn't take the change within %g s", *place
                )

    async def withdraw(self) -> None:
        """Remove the record for good; may be called twice."""
        try:
            await self.announce()
        finally:
            try:
                await self._advertisement.withdraw()
            finally:
                # Also when cancelled: the advertisement goes on to remove the record.
                self.ended()

    async def announce(self) -> None:
        """Publish that the instance drains, just before its record is removed.

        Readers can't tell a removed record from one of a process that lost touch with the registry: the last
        instance of a service would stay known to them as a suspect.
        """
        if self._withdrawn or self._advert.state == DRAINING or self._advertisement.name is None:
            return
        with suppress(PeerageError, TimeoutError):
            self._advertisement.update(self._build(replace(self._advert, state=DRAINING)).data)
            async with asyncio.timeout(_ANNOUNCE_TIMEOUT):
                await self.registered()

    def ended(self) -> None:
        """Note that the record is withdrawn, by :meth:`withdraw` or with its registry."""
        if not self._withdrawn:
            self._withdrawn = True
            self._unsubscribe()
            self._on_withdraw(self)
            if self._logged_name is not None:
                log.info("Withdrawn: %s from %s", self._logged_name, self._registry.url)

    def _change(self, advert: Advert) -> None:
        instance = self._build(advert)
        self._advertisement.update(instance.data)
        before, self._advert, self._instance = self._instance, advert, instance
        if self._logged_name is None or instance.data == before.data:
            return
        # A service may change what its record says beside these, such as its load, every second.
        summary = _summary(instance)
        level = logging.DEBUG if summary == _summary(before) else logging.INFO
        log.log(level, "Updated %s: %s", self._logged_name, summary)

    def _build(self, advert: Advert) -> Instance:
        """Return the record of *advert* as the instance that a process on the same host reads out of it."""
        process = self._process_key(advert.who().process_id)
        data = build_record(advert, nonce=self._nonce, auth_key=self._auth_key, process=process)
        instance = decode("", data, host_key=advert.who().host_key).instance
        assert instance is not None  # noqa: S101 - build_record() has read it already
        return instance

    def _log_registered(self, name: str) -> None:
        if name != self._advertisement.name or name == self._logged_name:
            return
        before, self._logged_name = self._logged_name, name
        again, why = ("", "") if before is None else (" again", f", because the record {before} was lost,")
        place, found = self._registry.url, _summary(self._instance)
        log.info("Advertised%s as %s%s in %s: %s", again, name, why, place, found)


async def withdraw_all(registrations: Iterable[Registration]) -> None:
    """Withdraw from a registry that stays open; one that hangs does it when it can."""
    withdrawals = [registration.withdraw() for registration in registrations]
    with suppress(TimeoutError):
        async with asyncio.timeout(WITHDRAW_TIMEOUT):
            await asyncio.gather(*withdrawals, return_exceptions=True)


def _summary(instance: Instance) -> str:
    """Return how *instance* is found and where it is called, for the log."""
    ids = [f"{key}={value}" for key, value in instance.advertised_ids()]
    shown = [*ids[:_SHOWN_IDS], "..."] if len(ids) > _SHOWN_IDS else ids
    weight = [] if instance.weight == 1 else [f"weight {instance.weight:g}"]
    state = [] if instance.state is None else [instance.state]
    parts = [*shown, *(instance.urls or ("not callable",)), *weight, *state]
    return " ".join(ascii(part)[1:-1] for part in parts)


def _warn_about(advert: Advert, instance: Instance) -> None:
    """Log once per registration what makes a service impossible to find or to call."""
    identity = advert.who()
    if not instance.ids:
        log.warning(
            "This service has no name by which others find it: write Discovery(service_id=…, instance_id=…), "
            "or set SERVICE_ID and INSTANCE_ID in its environment."
        )
    elif identity.service_id and identity.service_id != identity.service_id.lower():
        log.warning("service_id=%r should be lower case: hosts in URLs always are.", identity.service_id)
    if (advert.web or advert.port) and not instance.callable and identity.host_key is None:
        log.warning(
            "This service can't be called: it listens on loopback or link-local addresses only, and its "
            "identity has no host_key, by which processes of the same host recognize it. Listen on 0.0.0.0, "
            "or name the service with Discovery(service_id=…) and leave the identity out."
        )
