"""What instances are asked for by: pairs of key and value, all of which must match."""

from collections.abc import Iterable, Mapping

from peerage.errors import ConfigurationError
from peerage.records.names import fold_key, fold_value
from peerage.records.text import shorten

#: ``((key, value), …)``, folded; an instance must match all of them.
Criteria = tuple[tuple[str, str], ...]


def fold_criteria(criteria: Mapping[str, object]) -> Criteria:
    """Return *criteria* in the form that the directory compares. The value None matches no instance.

    >>> fold_criteria({"service-id": "Orders"})
    (('service_id', 'orders'),)
    """
    # An empty id is never read from a record.
    return tuple(
        (fold_key(key), "" if value is None else fold_value(value)) for key, value in criteria.items()
    )


def read_criteria(pairs: Iterable[tuple[str, str]]) -> Criteria:
    """Return the criteria that a user wrote, as words ``key=value`` or as the query of a URL.

    >>> read_criteria([("service-id", "Orders")])
    (('service_id', 'orders'),)

    Raises:
        ConfigurationError: a key or a value is empty, or a key is given twice.
    """
    criteria: dict[str, str] = {}
    for key, value in pairs:
        if not key or not value:
            raise ConfigurationError(
                f"{shorten(f'{key}={value}')} isn't a criterion: write key=value, e.g. service_id=orders"
            )
        folded = fold_key(key)
        if folded in criteria:
            raise ConfigurationError(
                f"{shorten(key)} is given twice, and all criteria must match: give it once."
            )
        criteria[folded] = value
    return fold_criteria(criteria)
