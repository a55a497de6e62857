"""What the advertisements in one folder have in common."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peerage.backends.zookeeper.advertisement import ZooKeeperAdvertisement

__all__ = ["AdvertisedFolder"]


class AdvertisedFolder:
    """What the advertisements in one folder have in common.

    Attributes:
        path: of the folder.
        owners: the advertisement that each node of this process belongs to, by the node's name.
        warned: paths about whose access lists a warning was logged.
        prepared: whether the access lists on the way to the records were checked.
    """

    def __init__(self, path: str, warned: set[str]) -> None:
        self.path = path
        self.owners: dict[str, ZooKeeperAdvertisement] = {}
        self.warned = warned
        self.prepared = False
