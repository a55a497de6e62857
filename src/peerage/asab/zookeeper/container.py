"""A session with ZooKeeper, or the registry of this machine if no servers are configured."""

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, Final

from peerage.asab.config import Config, Configurable
from peerage.asab.log import LOG_NOTICE
from peerage.asab.parts import Part, Phase
from peerage.asab.zookeeper.discovery import ContainerDiscovery
from peerage.asab.zookeeper.nodes import Nodes, nodes_of
from peerage.asab.zookeeper.servers import choose
from peerage.errors import ConfigurationError
from peerage.registry import Advertisement, open_registry

if TYPE_CHECKING:
    from peerage.asab.application import Application
    from peerage.asab.zookeeper.service import ZooKeeperService
    from peerage.discovery import Discovery

log = logging.getLogger("peerage.asab.zookeeper")

_SLASHES: Final = re.compile("//+")

#: Seconds without a connection until the log says so.
REPORT_AFTER: Final = 5.0


class ZooKeeperContainer(Configurable):
    """A session with ZooKeeper, which the program and discovery share.

    The servers come from *z_path*, *config*, the section, ``[zookeeper]``, ``ASAB_ZOOKEEPER_SERVERS`` or
    ``PEERAGE_REGISTRY``: the first of these that is set. If none is, the container uses the registry of this
    machine, which needs no server. Then services are found on this machine only, and the container can read
    and write only records.

    Its states are published as ``ZooKeeperContainer.state/CONNECTED!``, ``SUSPENDED!`` and ``LOST!``, with
    the container as argument.

    Args:
        zookeeper_service: the service ``asab.ZooKeeperService``.
        config_section_name: the section of its settings.
        config: settings of the program, which win over it.
        z_path: ``zookeeper://server:2181,server:2181/path``, or a path alone; wins over both.

    Raises:
        ConfigurationError: servers or path are invalid.
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
        """The path of the container's nodes, without a slash at its beginning."""
        self._nodes: Nodes = nodes_of(registry, choice, self.ProactorService)
        self.ZooKeeper = self._nodes.zookeeper
        """The calls of kazoo's client, in threads."""
        self.discovery: Discovery = ContainerDiscovery(registry, Config, choice.chroot)
        """Discovery over this session; :meth:`open_discovery` starts it."""
        self._discovers = False
        self._running = self._stopping = False
        self._connected = False
        self._unwritten: dict[str, bytes] = {}
        self._advertisements: dict[str, Advertisement] = {}
        self._state_task: asyncio.Task[None] | None = None
        if not choice.configured and not zookeeper_service.warned_of_embedded:
            zookeeper_service.warned_of_embedded = True
            log.warning(
                "No ZooKeeper servers are configured: this service finds others, and is found, on this "
                "machine only, in %s. Set servers in [zookeeper], ASAB_ZOOKEEPER_SERVERS or PEERAGE_REGISTRY",
                registry.url,
            )
        zookeeper_service.Containers.append(self)
        name = f"ZooKeeperContainer [{config_section_name}]"
        self.App._enlist(Part(name, Phase.ZOOKEEPER, self._start, self._stop))  # noqa: SLF001 - ours

    def is_connected(self) -> bool:
        """Tell whether ZooKeeper is connected; without ZooKeeper, True."""
        return self._nodes.connected

    # Advertising

    def advertise(self, data: Mapping[str, Any] | str | bytes, path: str) -> None:
        """Keep *data* at a node of this session, ``<path><10 digits>``, until the application ends.

        Called again with the same path, it replaces the data in place. It returns at once; failures are
        logged, and it tries again.

        Args:
            data: a dictionary is written as JSON, a text in UTF-8.
            path: below :attr:`Path`, ``/run/MyApplication.``.

        Raises:
            TypeError: the data is something else, or can't be written as JSON.
            RegistryDeniedError: the path is impossible, or the data is too large.
            ConfigurationError: there is no ZooKeeper, and the path isn't that of a record.
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
            self._advertisements[path] = self._nodes.advertise(path, data)
        else:
            self._unwritten[path] = data

    # Reading

    async def get_children(self, path: str = "") -> list[str] | None:
        """Return the names of the children of *path*, below :attr:`Path`; None if there is no such node."""
        return await self._nodes.children(path.strip("/"))

    async def get_data(self, path: str, encoding: str = "utf-8") -> Any:
        """Return the JSON value of the node; an empty dictionary if there is no such node.

        Raises:
            ValueError: it isn't JSON.
        """
        data = await self.get_raw_data(path)
        return {} if data is None else json.loads(data.decode(encoding))

    async def get_raw_data(self, path: str) -> bytes | None:
        """Return the bytes of the node; None if there is no such node."""
        return await self._nodes.data(path.strip("/"))

    # Discovery

    def open_discovery(self) -> "Discovery":
        """Start discovery, unless it is started, and return it; it ends with the container.

        Needs the running event loop.
        """
        if not self._discovers:
            self.discovery.start()
            self._discovers = True
        return self.discovery

    # As a part of the application

    async def _start(self, app: "Application") -> None:  # noqa: ARG002 - the signature of each part
        self._running = True
        self._state_task = asyncio.create_task(
            self._publish_states(), name=f"peerage.asab: states of [{self.ConfigSectionName}]"
        )
        unwritten, self._unwritten = self._unwritten, {}
        for path, data in unwritten.items():
            self.advertise(data, path)

    async def _stop(self, app: "Application") -> None:  # noqa: ARG002 - the signature of each part
        self._stopping = True
        if self._discovers:
            await self.discovery.aclose()
        if self._state_task is not None:
            self._state_task.cancel()
            await asyncio.wait([self._state_task])
        await self._nodes.registry.aclose()
        if self._connected:
            self._publish_state("LOST")

    async def _publish_states(self) -> None:
        async with aclosing(self._nodes.states()) as states:
            first = asyncio.ensure_future(anext(states))
            try:
                await asyncio.wait([first], timeout=REPORT_AFTER)
                if not first.done() and not self._discovers:
                    health = await self._nodes.registry.inspect()
                    log.warning("No connection to %s yet: %s", health.url, health.problem)
                self._publish_state(await first)
            finally:
                # A generator can't be closed while it runs.
                first.cancel()
                await asyncio.wait([first])
            async for state in states:
                self._publish_state(state)

    def _publish_state(self, state: str) -> None:
        self._connected = state != "LOST"
        if state == "CONNECTED":
            log.log(LOG_NOTICE, "Connected to %s", self._nodes.registry.url)
        else:
            # Discovery logs each outage itself.
            level = logging.INFO if self._discovers or self._stopping else logging.WARNING
            log.log(level, "The session with %s is %s", self._nodes.registry.url, state)
        self.App.PubSub.publish(f"ZooKeeperContainer.state/{state}!", self)
