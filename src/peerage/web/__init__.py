"""What an aiohttp server needs of peerage: middlewares, and a stop that finishes what is under way."""

from typing import TYPE_CHECKING, Final

from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.web.misdirected import refuse_misdirected
    from peerage.web.stopping import GracefulStop

_HOME_OF: Final = {
    "GracefulStop": "stopping",
    "refuse_misdirected": "misdirected",
}

__all__ = ["GracefulStop", "refuse_misdirected"]

if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), _HOME_OF)
