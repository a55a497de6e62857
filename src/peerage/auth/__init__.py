"""Authorization between services: tokens, keys, who calls and what they may do.

Nothing here knows a web framework but :mod:`peerage.auth.web`, which isn't loaded unless it is imported.
"""

from peerage.auth.claims import check_claims
from peerage.auth.jose import PrivateKey, PublicKey
from peerage.auth.principal import SUPERUSER, Principal
from peerage.auth.reasons import Reason
from peerage.auth.sources import FetchedKeys, KeySource, read_file
from peerage.auth.verifier import Verifier

__all__ = [
    "SUPERUSER",
    "FetchedKeys",
    "KeySource",
    "Principal",
    "PrivateKey",
    "PublicKey",
    "Reason",
    "Verifier",
    "check_claims",
    "read_file",
]
