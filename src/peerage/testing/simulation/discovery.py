"""A Discovery in a simulated world: everything of the real one, over simulated sockets and names."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from peerage.discovery import Discovery
from peerage.records.identity import Identity
from peerage.registry import Registry
from peerage.testing.simulation.network import Network
from peerage.testing.simulation.transport import SimulatedSocket

if TYPE_CHECKING:
    from peerage.client import Client


class SimulatedDiscovery(Discovery):
    """Made by :meth:`peerage.testing.simulation.Host.discovery`.

    Args:
        registry: a simulated one; closed with this.
        identity: of the process.
        network: over which it calls others.
        random: source of what is random in it.
        process_key: tells the process from all others of its machine.
        runs: says whether the process with a key runs on this machine.
        options: of :class:`peerage.Discovery`.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        identity: Identity,
        network: Network,
        random: Random,
        process_key: str,
        runs: Callable[[str], bool],
        **options: Any,
    ) -> None:
        self._key = identity.host_key
        self._network = network
        self._random = random
        self._own_process_key, self._runs = process_key, runs
        super().__init__(registry, identity=identity, **options)
        self._owns_registry = True

    def _host_key(self) -> str | None:  # type: ignore[override]
        return self._key

    def _process_key(self, process_id: int) -> str | None:  # type: ignore[override]
        del process_id
        return self._own_process_key

    def _has_ended(self, process_id: object, key: object) -> bool:  # type: ignore[override]
        del process_id
        return isinstance(key, str) and not self._runs(key)

    def _make_nonce(self) -> str:  # type: ignore[override]
        return f"{self._random.getrandbits(64):016x}"

    def _make_client(self, **parts: Any) -> "Client":
        return super()._make_client(
            rng=self._random,
            getaddrinfo=self._network.look_up,
            start_lookup=self._network.start_lookup,
            make_socket=SimulatedSocket,
            **parts,
        )
