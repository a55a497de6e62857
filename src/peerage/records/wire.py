"""What a record may contain: the words and limits that reading and writing share.

The fields are those of ASAB's Discovery Service. What peerage adds is under the one key ``peerage``, which
ASAB ignores.
"""

from typing import Final

from peerage.records.names import BUILTIN_KEYS

__all__ = ["DRAINING", "FIELDS", "MOST_ENDPOINTS", "MOST_IDS", "SCHEMES"]

SCHEMES: Final = ("http", "https")

#: ``peerage.state`` of an instance that is about to stop.
DRAINING: Final = "draining"

#: Ids of one record. In memory each takes forty times its size in the record.
MOST_IDS: Final = 1000

#: Endpoints of one record, and its further addresses.
MOST_ENDPOINTS: Final = 64

#: The fields with a meaning; all others are free.
FIELDS: Final = frozenset(
    (
        *BUILTIN_KEYS,
        "host",
        "appclass",
        "launch_time",
        "process_id",
        "containerized",
        "web",
        "discovery",
        "peerage",
    )
)
