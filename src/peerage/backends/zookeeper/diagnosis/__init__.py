"""Examines the servers of a ZooKeeper registry, its session and its access lists, for ``peerage doctor``.

``words`` asks each server by its four-letter words, ``examine`` asks over the session. What they find is
judged by pure functions: ``servers``, ``limits`` and ``access``. Nothing is written to the servers.
"""

from peerage.backends.zookeeper.diagnosis.examine import examine

__all__ = ["examine"]
