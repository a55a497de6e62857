"""ZooKeeper servers as child processes on the loopback interface: single ones and ensembles."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

#: Seconds until waiting for a server ends.
_PATIENCE: Final = 40.0

#: Fast start, little memory, fast answers; the data of a test may be lost in a crash.
_JVM: Final = (
    "-Xshare:auto",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xmx512m",
    "-Djava.net.preferIPv4Stack=true",
    "-Dzookeeper.forceSync=no",
    "-Dzookeeper.jmx.log4j.disable=true",
    "-Dzookeeper.preAllocSize=1024",  # KiB of each file of its log; 64 MiB by default
)

# Started by this program, the server ends with the thread that started it, however that ends.
_LAUNCHER: Final = (
    "import ctypes, os, sys; "
    "sys.platform == 'linux' and ctypes.CDLL(None).prctl(1, 9); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)

#: Debian's jars. The manifest of the first names all others that it needs, except for the second, without
#: which the server writes no log, not even why it ends, and those for TLS.
_JARS: Final = (
    "zookeeper",
    "slf4j-simple",
    "netty-codec",
    "netty-resolver",
    "netty-transport-native-unix-common",
)


# Below the range that the kernel chooses from: a port that is closed for a while, as in a restart, isn't
# taken meanwhile, and a client that tries it isn't connected to itself.
_PORTS: Final = range(20_000, 32_000)
_ATTEMPTS: Final = 1_000


class ZooKeeperServer:
    """A server in its own folder; keeps port and data when it is started again.

    Start it on a thread that lives as long: on Linux the server ends with that thread.

    ::

        with ZooKeeperServer(tmp_path) as server:
            async with Discovery(f"zookeeper://{server.address}/asab") as discovery:
                ...

    Args:
        folder: for its data, configuration and log.
        port: on the loopback interface; a free one by default.
        options: further lines of its configuration, ``zoo.cfg``.
        jvm: further options for Java.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
        jvm: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._may_move = port is None
        self._log = folder / "zookeeper.log"
        self._log_begin = 0
        self._jvm = jvm
        self._process: subprocess.Popen[bytes] | None = None
        self._options = {
            "tickTime": "200",  # milliseconds; the shortest session is twice as long
            "initLimit": "50",
            "syncLimit": "25",
            "dataDir": str(folder / "data"),
            "clientPortAddress": "127.0.0.1",
            "maxClientCnxns": "0",
            "maxSessionTimeout": "60000",
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
            **(options or {}),
        }

    @property
    def address(self) -> str:
        """``127.0.0.1:port``; final once it was started, if the port wasn't given."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it serves.

        Raises:
            RuntimeError: Java or ZooKeeper is missing, or it doesn't serve; the message has its log's end.
        """
        while True:
            self.launch()
            try:
                self.wait()
            except RuntimeError:
                if not self._may_move or "BindException" not in self._last_log():
                    raise
                self.port = free_port()  # another process has taken the chosen one
            else:
                # Clients may know the port from now on.
                self._may_move = False
                return

    def launch(self) -> None:
        """Start it without waiting: a server of an ensemble serves once the others run."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "zoo.cfg"
        options = {"clientPort": str(self.port), **self._options}
        configuration.write_text("".join(f"{key}={value}\n" for key, value in options.items()))
        command = [
            *(sys.executable, "-I", "-S", "-c", _LAUNCHER, _java(), *_JVM, *self._jvm, "-cp", _class_path()),
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            str(configuration),
        ]
        with self._log.open("ab") as log:
            self._log_begin = log.tell()
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603 - our own command

    def wait(self) -> None:
        """Wait until it serves.

        Raises:
            RuntimeError: it ended, or doesn't serve in time.
        """
        deadline = time.monotonic() + _PATIENCE
        while "Mode:" not in self.ask("srvr"):
            if not self.running or time.monotonic() > deadline:
                self.kill()
                end = self._last_log()[-3000:]
                raise RuntimeError(f"ZooKeeper on {self.address} doesn't serve. Its log ends with:\n{end}")
            time.sleep(0.03)

    def ask(self, word: str) -> str:
        """Return the answer to a four-letter word, such as ``srvr``; empty if there is none."""
        answer = b""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(word.encode())
            while part := connection.recv(65536):
                answer += part
        return answer.decode(errors="replace")

    def kill(self) -> None:
        """End it with SIGKILL, and wait for that; may be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def suspend(self) -> None:
        """Stop it with SIGSTOP: the kernel accepts connections, and nothing is answered."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            # Wait until all threads have stopped; WNOWAIT leaves an exit status to Popen.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Continue after :meth:`suspend`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _last_log(self) -> str:
        """Return the log since the launch."""
        return self._log.read_bytes()[self._log_begin :].decode(errors="replace")


class Ensemble:
    """Three servers, which elect a leader.

    Args:
        folder: each server gets a folder in it.
        options: further lines of their configuration, ``zoo.cfg``.
    """

    def __init__(self, folder: Path, *, options: Mapping[str, str] | None = None) -> None:
        numbers = (1, 2, 3)
        members = dict(options or {})
        members |= {f"server.{number}": f"127.0.0.1:{free_port()}:{free_port()}" for number in numbers}
        self.servers = tuple(ZooKeeperServer(folder / str(number), options=members) for number in numbers)
        for number, server in zip(numbers, self.servers, strict=True):
            (server.folder / "data").mkdir(parents=True, exist_ok=True)
            (server.folder / "data" / "myid").write_text(f"{number}\n")

    @property
    def address(self) -> str:
        """All servers, as in a registry's URL."""
        return ",".join(server.address for server in self.servers)

    def leader(self) -> ZooKeeperServer | None:
        """Return the server that leads, None during an election."""
        leaders = [server for server in self.servers if "Mode: leader" in server.ask("srvr")]
        return leaders[0] if leaders else None

    def __enter__(self) -> Self:
        try:
            for server in self.servers:
                server.launch()
            for server in self.servers:
                server.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.kill()


def free_port() -> int:
    """Return a free port of the loopback interface."""
    # Not the seeded generator of a test, by which processes with the same seed would choose the same port.
    chance = random.SystemRandom()
    for port in chance.sample(_PORTS, _ATTEMPTS):
        with socket.socket() as probe:
            # As servers do, so that earlier connections in TIME_WAIT don't matter.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"No port of 127.0.0.1 from {_PORTS.start} to {_PORTS.stop} is free.")


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None) or shutil.which("java")
    if found is None:
        raise RuntimeError("There is no Java: install Debian's default-jre-headless, or set JAVA_HOME.")
    return found


def _class_path() -> str:
    """Return where Java finds ZooKeeper: ``ZOOKEEPER_HOME``, else Debian's package."""
    home = os.environ.get("ZOOKEEPER_HOME")
    if home:
        jars = sorted({*Path(home).glob("*.jar"), *Path(home).glob("lib/*.jar")})
        if not jars:
            raise RuntimeError(
                f"ZOOKEEPER_HOME={home} has no jars: name the folder of an unpacked ZooKeeper."
            )
        return os.pathsep.join([f"{home}/conf", *map(str, jars)])
    debian = [f"/usr/share/java/{jar}.jar" for jar in _JARS]
    if not Path(debian[0]).exists():
        raise RuntimeError("There is no ZooKeeper: install Debian's zookeeper, or set ZOOKEEPER_HOME.")
    return os.pathsep.join(["/etc/zookeeper/conf", *debian])
