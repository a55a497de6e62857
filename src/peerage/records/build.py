"""From an identity and ids to the bytes to advertise; strict in what it writes.

Source of the fields: ASAB's Discovery Service. What other clients of peerage need beyond them stands under
the one key ``peerage``, which ASAB ignores.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from peerage.errors import RecordError
from peerage.records.identity import Identity
from peerage.records.instance import decode
from peerage.records.names import BUILTIN_KEYS
from peerage.records.text import printable

__all__ = ["Ids", "build_record", "check_id", "check_key", "web_of"]

#: Custom ids: one value or several of each key.
Ids = Mapping[str, "str | int | Iterable[str | int]"]

_SCHEMES: Final = ("http", "https")

#: Keys that ``extra`` can't set: the program says them in other ways, and readers rely on them.
_RESERVED: Final = frozenset(
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

# A key is a label of the host <value>.<key>.asab, hence no dot; folded, hence no matter which case.
_KEY = re.compile(r"[A-Za-z0-9_-]{1,63}")


def build_record(
    identity: Identity,
    *,
    web: Sequence[tuple[str, int]] | None = None,
    ids: Ids | None = None,
    scheme: str = "http",
    state: str | None = None,
    weight: float | None = None,
    extra: Mapping[str, Any] | None = None,
    nonce: str | None = None,
    auth_key: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the record to advertise, as UTF-8 JSON.

    Args:
        identity: who the process is.
        web: bound ``(address, port)`` pairs; ``0.0.0.0`` or ``::`` for all interfaces. None: it can't be
            called.
        ids: custom ids, ``{"shard": [1, 2]}``.
        scheme: ``http`` or ``https``, what is spoken there.
        state: ``draining`` when it is about to stop.
        weight: its share of the requests relative to its peers', 1 if None.
        extra: further fields at top level, JSON values.
        nonce: tells this registration from every other one.
        auth_key: public key, as JWK, by which tokens of this instance are verified.

    Raises:
        RecordError: something of it can't be advertised; the message names it.
    """
    if scheme not in _SCHEMES:
        raise RecordError(f"scheme={scheme!r}: what is advertised is spoken over 'http' or 'https'.")
    record: dict[str, Any] = dict(identity.manifest)
    record.update(_checked_extra(extra or {}))
    for reserved in _RESERVED:
        record.pop(reserved, None)
    record["host"] = identity.host
    record["appclass"] = identity.appclass
    record["launch_time"] = _timestamp(identity.launch_time)
    record["process_id"] = identity.process_id
    for key in BUILTIN_KEYS:
        if value := getattr(identity, key):
            record[key] = value
    if identity.containerized:
        record["containerized"] = True
    if web:
        record["web"] = _bound(web)
    if discovery := _discovery(identity, ids or {}):
        record["discovery"] = discovery
    record["peerage"] = _own_section(
        identity,
        {"scheme": scheme, "state": state, "weight": weight, "nonce": nonce, "auth_key": auth_key},
    )
    return _written(record)


def _written(record: dict[str, Any]) -> bytes:
    try:
        data = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError(
            f"The record can't be written as JSON: {error}. Give JSON values in 'extra'."
        ) from error
    # What a reader would leave out isn't written in the first place.
    if problems := decode("", data).problems:
        raise RecordError(f"The record can't be advertised. {' '.join(problems)}")
    return data


def check_key(key: Any) -> None:
    """Check that *key* can be the key of custom ids.

    Raises:
        RecordError: it can't; the message says what can.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key) or key.lower().replace("-", "_") in BUILTIN_KEYS:
        raise RecordError(
            f"{key!r} can't be the key of a custom id: use A-Z, a-z, 0-9, '_' and '-'; "
            f"{', '.join(BUILTIN_KEYS)} are arguments of Discovery() or come from the environment."
        )


def check_id(key: str, value: Any) -> None:
    """Check that *value* can be an id of *key*.

    Raises:
        RecordError: it can't; the message says what can.
    """
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number and not (isinstance(value, str) and value and printable(value)):
        raise RecordError(f"{value!r} can't be an id of {key!r}: ids are texts and integers.")


def web_of(port: int) -> list[tuple[str, int]]:
    """Return what a service advertises that listens on *port* on every interface."""
    return [("0.0.0.0", port)]  # noqa: S104 - a notation of the record, nothing is bound here


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _bound(web: Sequence[tuple[str, int]]) -> list[list[Any]]:
    try:
        return [list(entry) for entry in dict.fromkeys(tuple(entry) for entry in web)]
    except TypeError as error:
        raise RecordError(
            f"web={web!r} can't be advertised: give a list of (address, port) pairs."
        ) from error


def _checked_extra(extra: Mapping[Any, Any]) -> Mapping[str, Any]:
    for key in extra:
        if not isinstance(key, str) or key in _RESERVED:
            raise RecordError(
                f"extra={{{key!r}: …}} can't be set: custom ids go into 'ids', where it listens into "
                "'port' or 'web', the other fields come from the environment."
            )
    return extra


def _discovery(identity: Identity, ids: Ids) -> dict[str, list[str | int]]:
    discovery = {key: _values(key, values) for key, values in ids.items()}
    if identity.service_id and not identity.instance_id:
        # ASAB 25.15 indexes the service_id of a record only beside an instance_id, but every key of
        # 'discovery'.
        discovery["service_id"] = [identity.service_id]
    return {key: values for key, values in discovery.items() if values}


def _values(key: Any, values: Any) -> list[str | int]:
    check_key(key)
    if isinstance(values, str | int):
        values = (values,)
    if isinstance(values, bytes | Mapping) or not isinstance(values, Iterable):
        raise RecordError(f"ids={{{key!r}: {values!r}}} can't be advertised: give an id or a list of ids.")
    listed = list(values)
    for value in listed:
        check_id(key, value)
    return list(dict.fromkeys(listed))


def _own_section(identity: Identity, fields: Mapping[str, Any]) -> dict[str, Any]:
    own = {**fields, "addresses": list(identity.addresses) or None, "host_key": identity.host_key}
    return {key: value for key, value in own.items() if value is not None}
