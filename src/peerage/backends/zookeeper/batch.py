"""How many nodes one request reads: a server builds the whole answer in its memory before it sends it."""

from typing import Final

__all__ = ["LARGEST_BATCH", "BatchSize"]

#: Nodes, at most: a server refuses a request of 1 MiB, and an answer should take milliseconds.
LARGEST_BATCH: Final = 100

#: Bytes of an answer up to which larger batches are tried again.
_SMALL_ANSWER: Final = 500_000


class BatchSize:
    """Half as many nodes after each lost connection, twice as many after a reading of small answers."""

    def __init__(self) -> None:
        self.size = LARGEST_BATCH
        """Nodes to read with one request."""

    def lost(self) -> None:
        """Take note of a connection that was lost while nodes were read: perhaps by too large an answer."""
        self.size = max(1, self.size // 2)

    def all_read(self, largest_answer: int) -> None:
        """Take note that all nodes were read, the largest answer being of so many bytes."""
        if largest_answer <= _SMALL_ANSWER:
            self.size = min(LARGEST_BATCH, 2 * self.size)
