"""The application: the root of a program."""

import asyncio
import logging
import os
import platform
import signal
import threading
import time
import warnings
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final

from peerage.asab import logsetup
from peerage.asab.abc import Module, Service
from peerage.asab.abc.singleton import Singleton
from peerage.asab.config import Config, Options
from peerage.asab.lifecycle import Lifecycle
from peerage.asab.log import LOG_NOTICE
from peerage.asab.parts import Part, Phase, part_of
from peerage.asab.pubsub import PubSub
from peerage.asab.task import TaskService

log = logging.getLogger(__name__)

#: The value of ``-w`` if none is given.
_LISTEN: Final = "0.0.0.0:8080"

#: The number of stops after which the process ends immediately.
_LAST_STOP: Final = 3


class Application(metaclass=Singleton):
    """The base class of a program's application; each class has one instance.

    ::

        class MyApplication(asab.Application):
            def __init__(self):
                super().__init__(modules=[asab.web.Module])

            async def main(self):
                print("Hello!")

        if __name__ == "__main__":
            MyApplication().run()

    The constructor reads the command line and the configuration. It takes the event loop that the program has
    set with ``asyncio.set_event_loop()``, and makes one if there is none. Services and modules may be made in
    a subclass's ``__init__``, in ``initialize()`` or later; each is initialized as soon as the loop runs, in
    the order that :class:`peerage.asab.parts.Phase` describes.

    Args:
        args: the command line; ``sys.argv[1:]`` by default.
        modules: for :meth:`add_module`.

    Raises:
        SystemExit: the command line or the configuration file is wrong.
    """

    Description: ClassVar[str] = "An application with a configuration file and a log, as described for ASAB."

    def __init__(self, args: Sequence[str] | None = None, modules: Iterable[type[Module]] = ()) -> None:
        self.ExitCode = 0
        """The value that :meth:`run` returns."""
        self.Args = self.parse_arguments(args=args)
        """The parsed command line."""
        self.HostName = os.environ.get("ASAB_HOSTNAME") or platform.node()
        """The name of this machine."""
        # For $HOSTNAME in configuration files: shells set it without exporting it.
        os.environ["HOSTNAME"] = self.HostName

        Config.load(_options(self.Args))
        logsetup.configure(Config)
        self.Loop = _event_loop()
        self._thread = threading.get_ident()
        self.Loop.set_debug(self.Loop.get_debug() or Config.getboolean("logging", "verbose"))
        self.LaunchTime = time.time()
        self.Modules: list[Module] = []
        self.Services: dict[str, Any] = {}
        self._stops = 0
        self._hinted = False
        self._signals = 0
        self._lifecycle = Lifecycle(self)
        self.PubSub = PubSub(self)
        self.TaskService = TaskService(self)
        self._listen_to_signals()
        for module in modules:
            self.add_module(module)

    # For subclasses

    async def initialize(self) -> None:
        """Prepare; called when the event loop runs, while services are initialized."""

    async def main(self) -> None:
        """Do the program's work; when it returns, the application continues until :meth:`stop`."""

    async def finalize(self) -> None:
        """Clean up; called at the end, while services are finalized."""

    def create_argument_parser(self, **kwargs: Any) -> ArgumentParser:
        """Return the parser of the command line, for a program to add options; *kwargs* are passed to it."""
        if kwargs.get("description") is None:
            kwargs["description"] = self.Description
        parser = ArgumentParser(**{"formatter_class": RawDescriptionHelpFormatter, **kwargs})
        add = parser.add_argument
        add("-c", "--config", metavar="FILE", help="read this configuration file")
        add("-v", "--verbose", action="store_true", help="log everything, debug messages included")
        add("-s", "--syslog", action="store_true", help="isn't supported: let the service manager do it")
        add("-l", "--log-file", metavar="FILE", help="log to this file as well")
        add(
            *("-w", "--web-api"),
            metavar="LISTEN",
            nargs="?",
            const=_LISTEN,
            help=f"listen here, as in [web] listen; {_LISTEN} if nothing is given",
        )
        add(
            "--no-auth",
            action="store_true",
            help="[auth] enabled=no: neither authentication nor authorization",
        )
        add("--startup-housekeeping", metavar="YES", help="publish Application.housekeeping! when it runs")
        return parser

    def parse_arguments(self, args: Sequence[str] | None = None) -> Namespace:
        """Parse the command line; the result becomes ``self.Args``."""
        return self.create_argument_parser().parse_args(args)

    # Run

    def run(self) -> int:
        """Run until :meth:`stop` or a signal, and return the exit code.

        Raises:
            BaseException: ``initialize()``, ``main()`` or ``finalize()`` raised it; everything is finalized
                first.
            SystemExit: a part of the application couldn't start; the log has the reason.
        """
        self._lifecycle.run()
        return self.ExitCode

    def stop(self, exit_code: int | None = None) -> None:
        """End the application once its work under way is done; the third call ends the process at once."""
        if exit_code is not None:
            self.set_exit_code(exit_code)
        if threading.get_ident() != self._thread and self.Loop.is_running():
            self.Loop.call_soon_threadsafe(self.stop)
            return
        self._stops += 1
        self._lifecycle.request_stop()
        self.PubSub.publish("Application.stop!", self._stops)
        if self._stops >= _LAST_STOP:
            log.critical(
                "The process ends immediately, because the application was stopped %d times", self._stops
            )
            logging.shutdown()
            os._exit(os.EX_SOFTWARE)

    def set_exit_code(self, exit_code: int, force: bool = False) -> None:  # noqa: FBT001, FBT002 - documented so
        """Set what :meth:`run` returns; a lower code than before only with *force*."""
        if force or exit_code > self.ExitCode:
            self.ExitCode = exit_code

    def time(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time()

    # Modules and services

    def add_module(self, module_class: type[Module]) -> None:
        """Make a module, unless there is one of this class already."""
        if any(isinstance(module, module_class) for module in self.Modules):
            return
        module = module_class(self)
        self.Modules.append(module)
        self._enlist(Part(module_class.__name__, Phase.MODULE, module.initialize, module.finalize))

    def get_service(self, service_name: str) -> Any:
        """Return the service of that name, or None."""
        service = self.Services.get(service_name)
        if service is None and service_name == "asab.DiscoveryService" and not self._hinted:
            self._hinted = True
            log.log(
                LOG_NOTICE,
                "There is no asab.DiscoveryService: make an ApiService and call its initialize_zookeeper(), "
                "which works without a ZooKeeper server as well, before get_service()",
            )
        return service

    def _register_service(self, service: Service) -> None:
        """Register a service: an object with ``Name`` and coroutine methods ``initialize``, ``finalize``."""
        if service.Name in self.Services:
            raise RuntimeError(
                f"There is a service {service.Name!r} already: give this one another name, or use the one of "
                "get_service()."
            )
        self.Services[service.Name] = service
        self._enlist(part_of(service))

    def _enlist(self, part: Part) -> None:
        """Add another part that starts and ends with the application, such as a container."""
        self._lifecycle.enlist(part)

    # Signals

    def _listen_to_signals(self) -> None:
        # Not possible in other threads, and not on every system.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            self.Loop.add_signal_handler(signal.SIGINT, self._on_stop_signal)
            self.Loop.add_signal_handler(signal.SIGTERM, self._on_stop_signal)
            self.Loop.add_signal_handler(signal.SIGHUP, self._on_hup)

    def _on_stop_signal(self) -> None:
        self._signals += 1
        self.stop()
        # stop() of the program doesn't count: only a second signal interrupts.
        if self._signals > 1:
            self._lifecycle.interrupt()

    def _on_hup(self) -> None:
        logsetup.rotate()
        self.PubSub.publish("Application.hup!")


def _options(args: Namespace) -> Options:
    """Return the options of the configuration that the command line gives."""
    given = defaultdict(str, vars(args))  # a program may parse other options
    wanted = {
        "general": {"config_file": given["config"]},
        "logging": {"verbose": given["verbose"] and "yes"},
        "logging:syslog": {"enabled": given["syslog"] and "yes"},
        "logging:file": {"path": given["log_file"]},
        "web": {"listen": given["web_api"]},
        "auth": {"enabled": given["no_auth"] and "no"},
    }
    return {section: values for section, values in wanted.items() if all(values.values())}


def _event_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that the program has set for this thread; else a new one, set as current."""
    with warnings.catch_warnings():
        # Python 3.12 and 3.13 warn, and make a loop, where none is set; others raise, or make one.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            loop = asyncio.get_event_loop()
        except RuntimeError:
            loop = None
    if loop is None or loop.is_closed() or loop.is_running():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    return loop
