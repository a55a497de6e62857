"""Three servers that form one service, as in production."""

from pathlib import Path
from typing import Final, Self

from peerage.testing.zookeeper.server import ZooKeeperServer, free_port

__all__ = ["Ensemble"]

_NUMBERS: Final = (1, 2, 3)


class Ensemble:
    """Three servers, which elect a leader.

    Args:
        folder: each server gets a folder in it.
    """

    def __init__(self, folder: Path) -> None:
        members = {f"server.{number}": f"127.0.0.1:{free_port()}:{free_port()}" for number in _NUMBERS}
        self.servers = tuple(ZooKeeperServer(folder / str(number), options=members) for number in _NUMBERS)
        for number, server in zip(_NUMBERS, self.servers, strict=True):
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
