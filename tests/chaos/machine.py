"""A machine with a network of its own, as a network namespace: it needs root, and Debian's iproute2."""

import os
import shutil
import subprocess


class Machine:
    """A network namespace with one interface, joined to that of this process.

    Its own address is ``address``, and ``outside`` is that of this process there.
    """

    def __init__(self) -> None:
        self._name = f"peerage-{os.getpid()}"
        self._ours, self._its = f"pa{os.getpid()}", f"pb{os.getpid()}"
        # From the network for benchmarks (RFC 2544).
        base = 4 * (os.getpid() % 16_384)
        self.outside, self.address = (f"198.18.{base // 256}.{base % 256 + last}" for last in (1, 2))

    @property
    def prefix(self) -> tuple[str, ...]:
        """Begins a command that runs there."""
        return ("ip", "netns", "exec", self._name)

    def start(self) -> None:
        _ip("netns", "add", self._name)
        _ip("link", "add", self._ours, "type", "veth", "peer", self._its, "netns", self._name)
        _ip("address", "add", f"{self.outside}/30", "dev", self._ours)
        _ip("-n", self._name, "address", "add", f"{self.address}/30", "dev", self._its)
        _ip("link", "set", self._ours, "up")
        for each in ("lo", self._its):
            _ip("-n", self._name, "link", "set", each, "up")

    def lose(self) -> None:
        """Drop all packets in both directions: they go to a hardware address that doesn't exist."""
        lost = ("lladdr", "02:00:00:00:00:01", "nud", "permanent")
        _ip("neighbour", "replace", self.address, "dev", self._ours, *lost)
        _ip("-n", self._name, "neighbour", "replace", self.outside, "dev", self._its, *lost)

    def heal(self) -> None:
        """Let packets pass again."""
        _ip("neighbour", "delete", self.address, "dev", self._ours)
        _ip("-n", self._name, "neighbour", "delete", self.outside, "dev", self._its)

    def stop(self) -> None:
        # The kernel removes both with the namespace, but only once its last connection has ended.
        _ip("link", "delete", self._ours)
        _ip("netns", "delete", self._name)


def _ip(*arguments: str) -> None:
    command = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert command is not None, "install Debian's iproute2"
    subprocess.run([command, *arguments], check=True)
