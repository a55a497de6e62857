"""Advertises an application where its server listens, by one worker of all that serve the port."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from peerage.discovery import Discovery
from peerage.errors import PeerageError
from peerage.integrations.election import RETRY, PortLock
from peerage.integrations.ports import Served, find_served, identification
from peerage.records.advert import Advert
from peerage.records.build import build_record
from peerage.records.decode import decode
from peerage.registration import LAME_DUCK, Registration
from peerage.serving.gunicorn_workers import server_stops

log = logging.getLogger(__name__)

#: Seconds between two searches for the port: at first, and later.
_SEARCH_SOON: Final = 0.02
_SEARCH_LATER: Final = 1.0

#: Seconds after which it is logged that the port isn't found.
_PATIENCE: Final = 10.0

#: Seconds that another worker has for taking over when this one ends without a signal.
_HANDOVER: Final = 3 * RETRY

#: Addresses to listen at of which a host has one server for each port.
_USUAL_ADDRESSES: Final = {"0.0.0.0", "::", "127.0.0.1"}  # noqa: S104 - nothing is bound here

#: An instance_id is a label of a host name, in ``<instance_id>.instance_id.asab``.
_DASHES: Final = str.maketrans(".:%", "---")


def check_given(discovery: object, of_discovery: Mapping[str, object]) -> None:
    """Raise TypeError if an application is given both a Discovery and arguments for one."""
    if discovery is not None and of_discovery:
        names = ", ".join(of_discovery)
        raise TypeError(f"Give either a discovery or arguments for one ({names}), not both.")


class PortAdvertising:
    """Advertises the port that this process serves, unless another worker of the same server does.

    If that worker ends, for whatever reason, this one takes over: its record has the same names. All workers
    are one instance, so they have one ``instance_id``: the one that was given, else one made of the names of
    the service and the host, and the port, and before it the address if that isn't 0.0.0.0 or 127.0.0.1.

    Args:
        discovery: advertises, open.
        advert: what is advertised beside the port.
        port: the port; None: it is searched for.
    """

    def __init__(self, discovery: Discovery, advert: Advert | None = None, port: int | None = None) -> None:
        self._discovery = discovery
        self._advert = advert or Advert()
        self._port = port
        identity = self._advert.identity or discovery.identity()
        self.identification = identification(identity.service_id, identity.instance_id, identity.appclass)
        """What the application answers to the question who is served at a port, see :func:`find_served`."""
        self._lock: PortLock | None = None
        self._served: list[Served] = []
        self._registration: Registration | None = None
        self._working: asyncio.Task[None] | None = None
        self._ids = self._ids_of(self._advert)

    def start(self) -> None:
        """Begin: the port is searched for, and advertised when it answers."""
        self._working = asyncio.get_running_loop().create_task(
            self._run(), name="peerage: advertising a port"
        )

    async def drain(self, lame_duck: float = LAME_DUCK) -> None:
        """Publish that no new requests are wanted, wait, withdraw; wait as well if another worker advertises.

        From now on another worker may take over, and this one never will.

        Args:
            lame_duck: seconds to wait between the two.
        """
        await self._stop()
        if self._served:
            await asyncio.gather(self._discovery.drain(lame_duck), asyncio.sleep(lame_duck))
        else:
            await self._discovery.drain(lame_duck)

    async def handed_over(self, worker: Any, patience: float) -> bool:
        """Tell at SIGTERM whether *worker* is replaced while its server goes on, and wait for its successor.

        Another worker advertises then, unless none did in the time that gunicorn gives workers for their end.
        The record of this one stays.

        Args:
            worker: of gunicorn; None under another server.
            patience: seconds, as for :func:`server_stops`.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        while worker is not None and not await server_stops(worker, patience):
            waited = clock() - began
            if await self._hand_over() or waited > worker.cfg.graceful_timeout:
                log.info("SIGTERM: this worker is replaced, after %.1f s", waited)
                return True
        return False

    async def _hand_over(self) -> bool:
        """Let another worker of the same server advertise, and tell whether it does; call it again if not."""
        await self._stop()
        if self._lock is None or self._registration is None:
            return True  # this one doesn't
        await asyncio.sleep(_HANDOVER)
        try:
            return not self._lock.take()
        except (OSError, PeerageError):
            return True  # each of them advertises
        finally:
            self._lock.release()

    async def aclose(self) -> None:
        """Withdraw; after :meth:`drain` nothing is left to do.

        If this worker advertises and others go on, one of them takes over before the record is withdrawn.
        """
        await self._stop()
        if self._registration is not None and not self._registration.draining:
            await self._registration.drain(_HANDOVER)

    def own_ids(self) -> Collection[tuple[str, str]]:
        """Return the ``(key, value)`` pairs, folded, by which this worker and others are called."""
        return self._discovery.own_ids() | self._ids

    def own_records(self) -> Collection[str]:
        """Return the names that this process's records in the registry have or had."""
        return self._discovery.own_records()

    async def _stop(self) -> None:
        working, self._working = self._working, None
        if working is not None:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        if self._lock is not None:
            self._lock.release()

    async def _run(self) -> None:
        try:
            self._served = await self._find()
            advert = self._complete(self._served)
            self._ids = self._ids_of(advert)
            await self._take_lock(self._served[0])
            self._registration = self._discovery.register(advert)
        except Exception:
            log.exception("This service isn't advertised")

    async def _find(self) -> list[Served]:
        clock = asyncio.get_running_loop().time
        began, pause, logged = clock(), _SEARCH_SOON, False
        while not (found := await find_served(self.identification, self._port)):
            if not logged and clock() - began > _PATIENCE:
                logged = True
                log.warning(
                    "This service isn't advertised, because %s for it: pass the port on which it listens, "
                    "discovered(…, port=…), and let discovered() be the outermost application. "
                    "The search goes on.",
                    "no port of this process answers"
                    if self._port is None
                    else f"port {self._port} doesn't answer",
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _SEARCH_LATER)
        return found

    async def _take_lock(self, served: Served) -> None:
        """Return when this worker is to advertise."""
        self._lock = PortLock(served.address, served.port)
        logged = False
        while True:
            try:
                if self._lock.take():
                    return
            except (OSError, PeerageError) as error:
                if isinstance(error, PeerageError):
                    log.warning("Each worker advertises, because they can't agree on one: %s", error)
                    return
                if not logged:
                    logged = True
                    log.warning(
                        "The lock that decides which worker advertises can't be taken for now: %s", error
                    )
            await asyncio.sleep(RETRY)

    def _complete(self, served: list[Served]) -> Advert:
        identity = self._advert.who() if self._advert.identity else self._discovery.identity()
        if identity.instance_id is None:
            service = identity.service_id or identity.appclass
            place = _place(served[0])
            identity = replace(identity, instance_id=f"{service}-{identity.host}-{place}")
        return self._advert.changed(identity=identity, web=served)

    def _ids_of(self, advert: Advert) -> set[tuple[str, str]]:
        who = advert.identity or self._discovery.identity()
        instance = decode("", build_record(replace(advert, identity=who))).instance
        return set() if instance is None else set(instance.ids)


def _place(served: Served) -> str:
    """Return what distinguishes a server from the others of its host, in an instance_id."""
    if served.address in _USUAL_ADDRESSES:
        return str(served.port)
    # Another server may have the same port at another address.
    return f"{served.address}-{served.port}".translate(_DASHES)
