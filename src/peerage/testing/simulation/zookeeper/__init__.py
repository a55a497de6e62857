"""A simulated ZooKeeper, for the ZooKeeper backend as it is.

:class:`Ensemble` is what a simulated world has of it. The model of one server, which it consists of, is
compared with a real server on random requests.
"""

from peerage.testing.simulation.zookeeper.ensemble import Ensemble
from peerage.testing.simulation.zookeeper.member import Member

__all__ = ["Ensemble", "Member"]
