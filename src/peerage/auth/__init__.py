"""Authorization between services: tokens, keys, and what a caller may do. It knows no web framework.

:mod:`peerage.web` authorizes the requests of a server, :mod:`peerage.client` those of a session.
"""

from peerage.auth.claims import check_claims
from peerage.auth.fetched_keys import FetchedKeys, read_file
from peerage.auth.jose import PrivateKey, PublicKey
from peerage.auth.principal import SUPERUSER, Principal
from peerage.auth.refusals import Reason
from peerage.auth.verifier import KeySource, Verifier

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
