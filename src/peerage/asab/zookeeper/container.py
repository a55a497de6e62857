"""One session with ZooKeeper, or the registry of this machine where there is none."""

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, Final

from peerage.asab.config import Config
from peerage.asab.configurable import Configurable
from peerage.asab.log import LOG_NOTICE
from peerage.asab.parts import Floor, Part
from peerage.asab.zookeeper.patience import PatientDiscovery
from peerage.asab.zookeeper.place import Place, place_of
from peerage.asab.zookeeper.servers import choose
from peerage.errors import ConfigurationError
from peerage.registry import Advertisement, open_registry

if TYPE_CHECKING:
    from peerage.asab.application import Application
    from peerage.asab.zookeeper.service import ZooKeeperService
    from peerage.discovery import Discovery

__all__ = ["ZooKeeperContainer"]

log = logging.getLogger("peerage.asab.zookeeper")

_SLASHES: Final = re.compile("//+")

#: Seconds until it is said that there is no connection yet.
_SILENCE: Final = 5.0


class ZooKeeperContainer(Configurable):
    """A session with ZooKeeper, shared by all that the program does there and by discovery.

    The servers are named by *z_path*, *config*, the section, ``[zookeeper]``, ``ASAB_ZOOKEEPER_SERVERS`` or
    ``PEERAGE_REGISTRY``, the first of these that says something. If none does, the registry of this machine
    is used, which needs no server: then services are found on this machine only, and of what a container can
    do, that remains which has to do with records.

    Its states are published as ``ZooKeeperContainer.state/CONNECTED!``, ``SUSPENDED!`` and ``LOST!``, with
    the container as argument.

    Args:
        zookeeper_service: the service ``asab.ZooKeeperService``.
        config_section_name: the section of its settings.
        config: settings of the program, which win over it.
        z_path: ``zookeeper://server:2181,server:2181/path``, or a path alone; wins over both.

    Raises:
        ConfigurationError: servers or path can't work.
        MissingExtraError: ZooKeeper needs a package that isn't installed.
    """

    ConfigDefaults: ClassVar[dict[str, Any]] = {"servers": "", "path": ""}

    def __init__(
        self,
        zookeeper_service: "ZooKeeperService",
        config_section_name: str = "zookeeper",
        config: Mapping[str, Any] | None = None,
        z_path: str | None = None,
    ) -> None:
        super().__init__(config_section_name, config)
        self.App = zookeeper_service.App
        self.ConfigSectionName = config_section_name
        self.ProactorService = zookeeper_service.ProactorService
        choice = choose(self.Config, z_path)
        try:
            registry = open_registry(choice.url)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"Servers and path of ZooKeeper, as configured for [{config_section_name}]: {error}"
            ) from None
        self.Path = choice.path
        """The path below which everything is, without a slash at its beginning."""
        self._place: Place = place_of(registry, choice, self.ProactorService)
        self.ZooKeeper = self._place.zookeeper
        """kazoo's client, called in threads."""
        self.discovery: Discovery = PatientDiscovery(registry, Config, choice.chroot)
        """Discovery over this session; :meth:`open_discovery` starts it."""
        self._discovers = False
        self._running = self._stopping = False
        self._connected = False
        self._wishes: dict[str, bytes] = {}
        self._advertisements: dict[str, Advertisement] = {}
        self._teller: asyncio.Task[None] | None = None
        if not choice.configured and not zookeeper_service.warned_of_embedded:
            zookeeper_service.warned_of_embedded = True
            log.warning(
                "No ZooKeeper servers are configured: this service finds others, and is found, on this "
                "machine only, in %s. Set servers in [zookeeper], ASAB_ZOOKEEPER_SERVERS or PEERAGE_REGISTRY",
                registry.url,
            )
        zookeeper_service.Containers.append(self)
        name = f"ZooKeeperContainer [{config_section_name}]"
        self.App._enlist(Part(name, Floor.ZOOKEEPER, self._start, self._stop))  # noqa: SLF001 - ours

    def is_connected(self) -> bool:
        """Tell whether there is a connection to ZooKeeper now; without ZooKeeper, True."""
        return self._place.connected

    # Advertising

    def advertise(self, data: Mapping[str, Any] | str | bytes, path: str) -> None:
        """Keep *data* at a node of this session, ``<path><10 digits>``, until the application ends.

        Called again with the same path, it replaces the data, in place. It returns at once: what stands in
        the way is logged, and tried again.

        Args:
            data: a dictionary is written as JSON, a text in UTF-8.
            path: below :attr:`Path`, ``/run/MyApplication.``.

        Raises:
            TypeError: the data is something else, or no JSON.
            RegistryDeniedError: the path can't be, or the data is too large.
            ConfigurationError: there is no ZooKeeper, and it isn't a record's path.
        """
        if isinstance(data, Mapping):
            data = json.dumps(dict(data))
        if isinstance(data, str):
            data = data.encode()
        if not isinstance(data, bytes):
            raise TypeError(f"advertise({data!r}, …): write a dictionary, a text or bytes.")
        path = _SLASHES.sub("/", path).removeprefix("/")
        if (advertisement := self._advertisements.get(path)) is not None:
            advertisement.update(data)
        elif self._running:
            self._advertisements[path] = self._place.advertise(path, data)
        else:
            self._wishes[path] = data

    # Reading

    async def get_children(self, path: str = "") -> list[str] | None:
        """Return the names of what is in *path*, below :attr:`Path`; None if there is no such node."""
        return await self._place.children(path.strip("/"))

    async def get_data(self, path: str, encoding: str = "utf-8") -> Any:
        """Return what stands there as JSON; an empty dictionary if there is no such node.

        Raises:
            ValueError: it isn't JSON.
        """
        data = await self.get_raw_data(path)
        return {} if data is None else json.loads(data.decode(encoding))

    async def get_raw_data(self, path: str) -> bytes | None:
        """Return the bytes that stand there; None if there is no such node."""
        return await self._place.data(path.strip("/"))

    # Discovery

    def open_discovery(self) -> "Discovery":
        """Start discovery, unless it is started, and return it; it ends with the container.

        Needs the running event loop.
        """
        if not self._discovers:
            self.discovery.start()
            self._discovers = True
        return self.discovery

    # Life

    async def _start(self, app: "Application") -> None:  # noqa: ARG002 - as of each part
        self._running = True
        self._teller = asyncio.create_task(
            self._tell_states(), name=f"peerage.asab: states of [{self.ConfigSectionName}]"
        )
        wishes, self._wishes = self._wishes, {}
        for path, data in wishes.items():
            self.advertise(data, path)

    async def _stop(self, app: "Application") -> None:  # noqa: ARG002 - as of each part
        self._stopping = True
        if self._discovers:
            await self.discovery.aclose()
        if self._teller is not None:
            self._teller.cancel()
            await asyncio.wait([self._teller])
        await self._place.registry.aclose()
        if self._connected:
            self._tell("LOST")

    async def _tell_states(self) -> None:
        async with aclosing(self._place.states()) as states:
            first = asyncio.ensure_future(anext(states))
            try:
                await asyncio.wait([first], timeout=_SILENCE)
                if not first.done() and not self._discovers:
                    health = await self._place.registry.inspect()
                    log.warning("No connection to %s yet: %s", health.url, health.problem)
                self._tell(await first)
            finally:
                # Before the generator is closed, which can't be while it runs.
                first.cancel()
                await asyncio.wait([first])
            async for state in states:
                self._tell(state)

    def _tell(self, state: str) -> None:
        self._connected = state != "LOST"
        if state == "CONNECTED":
            log.log(LOG_NOTICE, "Connected to %s", self._place.registry.url)
        else:
            # Discovery has a word about each outage itself.
            level = logging.INFO if self._discovers or self._stopping else logging.WARNING
            log.log(level, "The session with %s is %s", self._place.registry.url, state)
        self.App.PubSub.publish(f"ZooKeeperContainer.state/{state}!", self)
