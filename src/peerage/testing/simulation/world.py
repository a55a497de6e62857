"""A simulated world: hosts with their processes, a network between them, and a registry."""

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, TypeVar

from peerage.disk_cache import DiskCache
from peerage.disk_cache.format import Moment
from peerage.records.identity import Identity
from peerage.registry import Registry
from peerage.testing.simulation.discovery import SimulatedDiscovery
from peerage.testing.simulation.disk import Disk, DiskFile
from peerage.testing.simulation.folder import SimulatedFolder, SimulatedRegistry
from peerage.testing.simulation.loop import SimulatedLoop
from peerage.testing.simulation.network import Machine, Network
from peerage.testing.simulation.process import PROCESS, Process
from peerage.testing.simulation.surroundings import simulated

_T = TypeVar("_T")

#: The wall clock of every host at the beginning.
EPOCH: Final = datetime(2030, 1, 1, tzinfo=UTC)

#: What runs as a process of a host.
Program = Callable[["Host"], Coroutine[Any, Any, object]]

#: How often the rest is asked to end, at the end of a world.
_ENDINGS: Final = 5


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a simulated process has logged."""

    time: float
    host: str
    level: int
    text: str


class Host:
    """A host of a world, on which one process runs at a time. Made by :meth:`World.host`.

    Hosts with the same *machine* are processes of one machine, as services on a developer's computer are.
    """

    def __init__(self, world: "World", name: str, machine: Machine) -> None:
        self.world = world
        self.name = name
        self.machine = machine
        self.process: Process | None = None
        """The process that runs or ran last."""
        self.starts = 0
        """How often a program was started here."""
        self.offset = 0.0
        """Seconds by which its wall clock is ahead."""
        self.error: BaseException | None = None
        """What the last program has raised."""
        self.disk = world.disks.setdefault(machine.name, Disk(Random(f"{world.seed} {machine.name}")))
        """That of its machine."""

    @property
    def ip(self) -> str:
        """Its address."""
        return self.machine.ip

    @property
    def alive(self) -> bool:
        """Whether a process hasn't ended, though it may be stopped."""
        return self.process is not None and self.process.alive

    def start(self, program: Program) -> Process:
        """Start a process that runs *program* with this host.

        Raises:
            RuntimeError: one runs already, or the machine is off.
        """
        if self.alive or not self.machine.up:
            raise RuntimeError(f"{self.name} can't start a program: {self.process or 'it is off'}.")
        loop, self.starts = self.world.loop, self.starts + 1
        process = self.process = Process(self.name, self.ip)
        process.loop = loop
        self.world.processes.append(process)
        process.at_end.append(lambda: self.world.network.ended(process))
        context = Context()
        context.run(PROCESS.set, process)
        # Its first step belongs to the process already.
        loop.call_soon(self._begin, process, program, context=context)
        return process

    def _begin(self, process: Process, program: Program) -> None:
        process.main = self.world.loop.create_task(self._run(process, program))

    async def _run(self, process: Process, program: Program) -> None:
        """Do what ``asyncio.run()`` does, and end the process."""
        self.error = None
        try:
            await program(self)
        except asyncio.CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
            self.error = error
            self.world.failed(f"the program of {self.name} failed", error)
        own = asyncio.current_task()
        rest = [task for task in process.tasks() if task is not own]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        process.end()

    # Faults

    def terminate(self) -> None:
        """Send SIGTERM, which a process that is stopped gets when it goes on."""
        self._signal(15)

    def crash(self) -> None:
        """Kill the process: the kernel closes its connections, and nothing of it runs any more."""
        if self.process is not None:
            self.process.end()

    def power_off(self) -> None:
        """Cut the power of its machine, and so of all hosts on it: others aren't told."""
        self.world.power_off(self.machine)

    def power_on(self) -> None:
        """Let programs be started on its machine again."""
        if not self.machine.up:
            self.machine.up = True
            self.machine.boots += 1
            self.machine.booted = self.world.loop.time()

    def stop(self) -> None:
        """Stop the process, as at SIGSTOP."""
        if self.process is not None and self.process.alive:
            self.process.stop()

    def resume(self) -> None:
        """Let it go on, as at SIGCONT."""
        if self.process is not None:
            self.process.resume()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back if *seconds* are less than 0. Monotonic time stays."""
        self.offset += seconds

    @property
    def process_key(self) -> str:
        """What tells its process from all others of the machine."""
        return f"{self.name}.{self.starts}"

    def runs(self, key: str) -> bool:
        """Tell whether the process with that key runs on this machine."""
        hosts = self.world.hosts.values()
        return any(each.alive and each.machine is self.machine and each.process_key == key for each in hosts)

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.alive:
            self.process.signal(number)

    # What a program needs

    def disk_cache(self, registry: Registry) -> DiskCache:
        """Return the disk cache of *registry* on this machine."""
        file = DiskFile(self.disk, f"{registry.url}.cache")
        return DiskCache(registry.url, file, moment=self._moment, background=self.disk.do)

    def _moment(self) -> Moment:
        boot = f"{self.machine.name} {self.machine.boots}"
        return Moment(boot, self.world.loop.time() - self.machine.booted, self.world.wall_clock())

    def identity(self, **fields: Any) -> Identity:
        """Return who a process on this host is; *fields* of :class:`peerage.Identity`."""
        given = {
            "host": self.machine.name,
            "addresses": (self.ip,),
            "process_id": 1000 + self.starts,
            "launch_time": EPOCH,
            "host_key": f"machine {self.machine.name}",
            **fields,
        }
        return Identity(**given)

    def discovery(self, *, identity: Identity | None = None, **options: Any) -> SimulatedDiscovery:
        """Return a :class:`peerage.Discovery` of this process; *options* are its own.

        The registry is that of the world, unless *registry* is given. With ``disk_cache=True`` the disk cache
        is on the disk of this machine; without, there is none.
        """
        registry = options.pop("registry", None)
        registry = self.world.open_registry(self) if registry is None else registry
        if options.get("disk_cache") is True:
            options["disk_cache"] = self.disk_cache(registry)
        return SimulatedDiscovery(
            registry,
            identity=identity or self.identity(),
            network=self.world.network,
            random=Random(self.world.random.random()),
            process_key=self.process_key,
            runs=self.runs,
            **options,
        )


class World:
    """Everything that is simulated, in an order that *seed* determines.

    ::

        world = World(seed=1)
        orders, shop = world.host("orders"), world.host("shop")

        async def happens():
            orders.start(serve_orders)
            shop.start(call_orders)
            await asyncio.sleep(10)
            orders.crash()
            await asyncio.sleep(10)

        world.run(happens())

    Args:
        seed: of every choice.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.loop = SimulatedLoop()
        self.network = Network(self.loop, Random(self.random.random()))
        self.folder = SimulatedFolder(self.loop, Random(self.random.random()))
        self.hosts: dict[str, Host] = {}
        self.disks: dict[str, Disk] = {}
        """By the names of the machines."""
        self.processes: list[Process] = []
        """All that were started."""
        self.log: list[LogLine] = []
        """What the processes have logged, from :attr:`log_level` on."""
        self.log_level = logging.WARNING
        self.failures: list[str] = []
        """Exceptions that weren't handled, which are bugs."""
        self.open_registry: Callable[[Host], Registry] = self.open_folder
        """Opens the registry of a process that begins."""
        self._machines: dict[str, Machine] = {}
        self._ended = False
        self.loop.set_exception_handler(self._unhandled)

    def host(self, name: str, *, machine: str | None = None) -> Host:
        """Return the host *name*; it is made if there is none, on a *machine* of its own or that one."""
        if name not in self.hosts:
            machine = machine or name
            if machine not in self._machines:
                self._machines[machine] = self.network.add(machine)
            self.hosts[name] = Host(self, name, self._machines[machine])
        return self.hosts[name]

    def run(self, happens: Coroutine[Any, Any, _T]) -> _T:
        """Run *happens*, which starts programs and lets faults occur, and return what it returns.

        Then all processes end, and the world can't be used any more.

        Raises:
            DeadlockError: nothing would happen any more.
        """
        handler = _Handler(self)
        logger = logging.getLogger()
        handlers, level = logger.handlers, logger.level
        logger.handlers, logger.level = [handler], self.log_level
        collected = gc.isenabled()
        # When it runs differs between two runs, and so would the order of what collected objects do.
        gc.disable()
        try:
            with simulated(self.loop, self.wall_clock, self.seed):
                try:
                    return self.loop.run_until_complete(happens)
                finally:
                    self._end()
        finally:
            logger.handlers, logger.level = handlers, level
            if collected:
                gc.enable()

    def wall_clock(self) -> float:
        """Return the seconds since the epoch that the process which runs reads."""
        process = PROCESS.get()
        offset = 0.0 if process is None else self.hosts[process.name].offset
        return EPOCH.timestamp() + self.loop.time() + offset

    def power_off(self, machine: Machine) -> None:
        """Cut the power of *machine*: its processes are gone, and nobody is told."""
        machine.up = False
        for host in self.hosts.values():
            if host.machine is machine and host.process is not None and host.alive:
                for endpoint in tuple(host.process.endpoints):
                    endpoint.vanish()
                host.process.end()

    def failed(self, what: str, error: BaseException | None) -> None:
        """Note an exception that wasn't handled."""
        if not self._ended:
            self.failures.append(f"{self.loop.time():.6f} {what}: {error!r}")

    def open_folder(self, host: Host) -> Registry:
        """Return a registry with the semantics of ``embedded:`` for the process of *host*."""
        assert host.process is not None, "a program runs"
        return SimulatedRegistry(self.folder, host.process)

    def _unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        process = PROCESS.get()
        name = "the world" if process is None else process.name
        self.failed(f"{name}: {context['message']}", context.get("exception"))

    def _end(self) -> None:
        """Let what is left run to its end, where no one sees it, so that nothing is left to the collector."""
        self._ended = True
        for _ in range(_ENDINGS):
            for process in self.processes:
                process.revive()
            # In the same order in each run: those of processes first.
            tasks = [task for process in self.processes for task in process.tasks()]
            tasks += asyncio.all_tasks(self.loop).difference(tasks)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            with suppress(TimeoutError):
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=30.0))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


class _Handler(logging.Handler):
    """Keeps what simulated processes log."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        process = PROCESS.get()
        name = "" if process is None else process.name
        line = LogLine(self._world.loop.time(), name, record.levelno, record.getMessage())
        self._world.log.append(line)
