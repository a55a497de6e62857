"""Writing the record to advertise, strict in what it writes: what readers would ignore is refused."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any

from peerage.errors import RecordError
from peerage.records.advert import Advert, Ids
from peerage.records.decode import SCHEMES, decode
from peerage.records.identity import Identity
from peerage.records.names import BUILTIN_KEYS, fold_value
from peerage.records.text import printable, shorten

#: The fields of ASAB's Discovery Service, and the one of peerage, which ASAB ignores. All others are free.
_FIELDS = {
    *BUILTIN_KEYS,
    *("host", "appclass", "launch_time", "process_id", "containerized", "web", "discovery", "peerage"),
}

# A key is a label of the host <value>.<key>.asab, so it has no dot.
_KEY = re.compile(r"[A-Za-z0-9_-]{1,63}")


def build_record(
    advert: Advert,
    *,
    nonce: str | None = None,
    auth_key: Mapping[str, Any] | None = None,
    process: str | None = None,
) -> bytes:
    """Return the record to advertise, as UTF-8 JSON.

    Args:
        advert: what the service advertises.
        nonce: distinguishes this registration from every other one.
        auth_key: public key, as JWK, by which tokens of this instance are verified.
        process: tells the process from others with its number, see :mod:`peerage.records.process`.

    Raises:
        RecordError: a part of it can't be advertised; the message names it.
    """
    identity = advert.who()
    extra: Mapping[Any, Any] = advert.extra or {}
    # A wildcard address is a notation of the record, nothing is bound here.
    web = advert.web or () if advert.port is None else [("0.0.0.0", advert.port)]  # noqa: S104 - see above
    entries, schemes = _read_web(web, advert.scheme)
    different = len(set(schemes.values())) > 1
    for key in extra:
        if not isinstance(key, str) or key in _FIELDS:
            raise RecordError(
                f"extra={{{key!r}: …}} can't be set: custom ids belong to 'ids', what listens to 'web' "
                "or 'port', and the other fields come from the environment."
            )
    launched = identity.launch_time.astimezone(UTC)
    own = {
        "scheme": None if different else next(iter(schemes.values()), advert.scheme),
        "schemes": {str(port): spoken for port, spoken in schemes.items()} if different else None,
        "state": advert.state,
        "weight": advert.weight,
        "nonce": nonce,
        "auth_key": auth_key,
        "addresses": list(identity.addresses) or None,
        "host_key": identity.host_key,
        "process": process,
    }
    optional = {
        **{key: getattr(identity, key) for key in BUILTIN_KEYS},
        "containerized": identity.containerized,
        "web": entries,
        "discovery": _discovery(identity, advert.ids or {}),
    }
    record = {
        **{key: value for key, value in {**identity.manifest, **extra}.items() if key not in _FIELDS},
        "host": identity.host,
        "appclass": identity.appclass,
        "launch_time": launched.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "process_id": identity.process_id,
        **{key: value for key, value in optional.items() if value},
        "peerage": {key: value for key, value in own.items() if value is not None},
    }
    try:
        data = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError(
            f"The record can't be written as JSON: {error}. Give JSON values in 'extra'."
        ) from error
    # What readers would ignore isn't written.
    if problems := decode("", data).problems:
        raise RecordError(f"The record can't be advertised. {' '.join(problems)}")
    return data


def check_key(key: Any) -> None:
    """Raise RecordError, which says what can, unless *key* can be the key of custom ids."""
    if not isinstance(key, str) or not _KEY.fullmatch(key) or key.lower().replace("-", "_") in BUILTIN_KEYS:
        raise RecordError(
            f"{key!r} can't be the key of a custom id: use A-Z, a-z, 0-9, '_' and '-'; "
            f"{', '.join(BUILTIN_KEYS)} are arguments of Discovery() or come from the environment."
        )


def check_id(key: str, value: Any) -> None:
    """Raise RecordError, which says what can, unless *value* can be an id of *key*."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number and not (isinstance(value, str) and printable(value) and fold_value(value)):
        raise RecordError(
            f"{shorten(value)} can't be an id of {key!r}: ids are integers and texts of 1 to 1000 characters."
        )


def _read_web(web: Iterable[Any], default: str) -> tuple[list[list[Any]], dict[int, str]]:
    """Return the entries for the record, each once, and the scheme of each port."""
    entries: dict[tuple[Any, ...], None] = {}
    schemes: dict[int, str] = {}
    _check_scheme(default)
    try:
        listed = dict.fromkeys((address, port, *rest) for address, port, *rest in web)
    except (TypeError, ValueError) as error:
        raise RecordError(
            f"web={shorten(web)} can't be advertised: give a list of (address, port) or "
            "(address, port, scheme)."
        ) from error
    for address, port, *rest in listed:
        # The names of IPv6 sockets have four parts, of which the third is a number.
        scheme = rest.pop(0) if rest and isinstance(rest[0], str) else default
        _check_scheme(scheme)
        if schemes.setdefault(port, scheme) != scheme:
            raise RecordError(f"Port {port} can't be advertised with two schemes: use one port for each.")
        entries[address, port, *rest] = None
    return [list(entry) for entry in entries], schemes


def _check_scheme(scheme: object) -> None:
    if scheme not in SCHEMES:
        raise RecordError(f"The scheme {shorten(scheme)} can't be advertised: use 'http' or 'https'.")


def _discovery(identity: Identity, ids: Ids) -> dict[str, list[str | int]]:
    discovery = {key: _values(key, values) for key, values in ids.items()}
    if identity.service_id and not identity.instance_id:
        # ASAB 25.15 finds a service_id only in records that also have an instance_id, or under 'discovery'.
        discovery["service_id"] = [identity.service_id]
    return {key: values for key, values in discovery.items() if values}


def _values(key: Any, values: Any) -> list[str | int]:
    check_key(key)
    if isinstance(values, str | int):
        values = (values,)
    if isinstance(values, bytes | Mapping) or not isinstance(values, Iterable):
        raise RecordError(
            f"ids={{{key!r}: {shorten(values)}}} can't be advertised: give an id or a list of ids."
        )
    listed = list(values)
    for value in listed:
        check_id(key, value)
    return list(dict.fromkeys(listed))
