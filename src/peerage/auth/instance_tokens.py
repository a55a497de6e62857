"""Instance tokens: internal tokens signed with a key of the instance, whose public part is in its record.

A token is valid for two minutes, for the name that was called, and for the resources that its sender chose.
The service that verifies it limits which resources each instance may claim. The keys are as trustworthy as
the registry: a process that may write records there may advertise a key under any instance id.
"""

import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from heapq import nlargest
from typing import Any, Final

from cachetools import LRUCache

from peerage.auth.allowance import Allowance
from peerage.auth.claims import check_parties
from peerage.auth.jose import PrivateKey, PublicKey, Token, read_key, read_payload
from peerage.auth.refusals import Reason
from peerage.auth.verifier import KeySource
from peerage.errors import (
    ConfigurationError,
    KeysUnavailableError,
    NotDiscoveredError,
    NotReadyError,
    RegistryClosedError,
    TokenRefusedError,
)
from peerage.membership import Membership
from peerage.records.identity import Identity
from peerage.records.instance import Instance
from peerage.records.names import fold_value, parse_host
from peerage.timing import wall_clock

#: Where a record has the key: under ``peerage``.
RECORD_FIELD: Final = "auth_key"

#: Seconds that a token is valid, that are left when it is replaced, and that any token may be valid.
LIFETIME: Final = 120.0
RENEWAL: Final = 60.0
_LONGEST: Final = 300.0

#: Bytes of the records whose keys are kept.
_RECORD_BYTES: Final = 4 * 1024 * 1024

#: Records of one instance id that are looked at, newest first; the others are of processes that died.
_RECORDS: Final = 8

_ID_KEY: Final = "instance_id"


class InstanceTokens:
    """Issues the tokens of this instance. Its key exists in memory only.

    *identity* is called for each new token; *clock* returns seconds since the epoch.
    """

    def __init__(self, identity: Callable[[], Identity], *, clock: Callable[[], float] = wall_clock) -> None:
        self._identity = identity
        self._clock = clock
        self._key = PrivateKey.generate()
        self.public = self._key.public
        """The key that verifies its tokens; the record has :meth:`~PublicKey.as_dict` of it."""
        self._tokens: LRUCache[tuple[str, str], tuple[str, float, float]] = LRUCache(1024)

    def token(self, host: str, resources: Mapping[str, Sequence[str]]) -> str:
        """Return a token for a ``.asab`` *host*, valid for at least a minute, that allows *resources*.

        Raises:
            ConfigurationError: this process has no INSTANCE_ID.
            NotDiscoveredError: *host* isn't a complete name.
        """
        audience = _url_of(*parse_host(host))
        wanted, now = json.dumps(resources, sort_keys=True), self._clock()
        token, issued, expires = self._tokens.get((audience, wanted), ("", 0.0, 0.0))
        if issued <= now < expires - RENEWAL:
            return token
        identity = self._identity()
        if not identity.instance_id:
            raise ConfigurationError(
                "An instance token names its instance: write Discovery(instance_id=…), or set INSTANCE_ID in "
                "the environment of this process."
            )
        issuer = _url_of(_ID_KEY, fold_value(identity.instance_id))
        times = {"iat": int(now), "exp": int(now + LIFETIME)}
        parties = {"iss": issuer, "sub": issuer, "azp": issuer, "aud": audience}
        token = self._key.sign({**parties, **times, "resources": json.loads(wanted)})
        self._tokens[audience, wanted] = (token, now, now + LIFETIME)
        return token


class InstanceKeys(KeySource):
    """The keys in the records of the registry.

    *names* returns the ``(key, value)`` pairs, folded, under which this process is advertised.
    """

    name = "the instances of the registry"

    def __init__(
        self,
        membership: Membership,
        *,
        names: Callable[[], Collection[tuple[str, str]]],
        allowance: Allowance,
    ) -> None:
        self._membership = membership
        self._names = names
        self._allowance = allowance
        self._problem = "the registry wasn't read yet"
        self._read = LRUCache[bytes, tuple[PublicKey | None, int]](_RECORD_BYTES, lambda entry: entry[1])

    def refresh(self, *, missing: bool = False) -> Awaitable[object] | None:
        """Return what to wait for if a key is *missing* before the registry was read once."""
        return self._wait_ready() if missing and not self._membership.ready else None

    async def _wait_ready(self) -> None:
        try:
            await self._membership.wait_ready()
        except (NotReadyError, RegistryClosedError) as error:
            self._problem = str(error).rstrip(".")

    def unavailable(self) -> KeysUnavailableError | None:
        """Return the error to raise before the registry was read once."""
        if self._membership.ready:
            return None
        return KeysUnavailableError(f"There are no public keys of {self.name}: {self._problem}.", 1.0)

    def candidates(self, token: Token) -> Sequence[PublicKey]:
        """Return the keys of the instance that *token* says it is of."""
        try:
            claims = read_payload(token.payload)
        except TokenRefusedError:
            # The signature decides first, and another source may have the key.
            return ()
        return token.fitting(self._keys_of(claims))

    def holds(self, key: PublicKey, claims: Mapping[str, Any]) -> bool:
        """Tell whether the issuer still advertises *key*, and this process the name that was called."""
        try:
            self._check_audience(claims)
        except TokenRefusedError:
            return False
        return key in self._keys_of(claims)

    def check(self, claims: Mapping[str, Any]) -> None:
        """Raise TokenRefusedError for claims for another service, or beyond what their issuer may claim."""
        issuer = claims["iss"]
        if claims.get("sub") != issuer or claims.get("azp") != issuer:
            raise TokenRefusedError(Reason.ISSUER, "Its sub and azp must be equal to its iss.")
        self._check_audience(claims)
        if claims["exp"] - claims["iat"] > _LONGEST:
            raise TokenRefusedError(Reason.CLAIMS, f"It is valid for longer than {_LONGEST:g} s.")
        self._allowance.check(parse_host(_host_of(issuer))[1], claims.get("resources") or {})

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        check_parties(claims, audiences={_url_of(key, value) for key, value in self._names()})

    def _keys_of(self, claims: Mapping[str, Any]) -> list[PublicKey]:
        try:
            key, value = parse_host(_host_of(claims.get("iss")))
        except NotDiscoveredError:
            return []
        # A service or shard is several instances, and none of them may speak for the others.
        if key != _ID_KEY or claims["iss"] != _url_of(key, value):
            return []
        theirs = (
            each for each in self._membership.directory.find(((key, value),)) if _speaks_for(each, value)
        )
        newest = nlargest(_RECORDS, theirs, key=lambda each: each.sequence)
        return [found for each in newest if (found := self._key_of(each)) is not None]

    def _key_of(self, instance: Instance) -> PublicKey | None:
        if (entry := self._read.get(instance.data)) is None:
            size = min(len(instance.data), _RECORD_BYTES)
            entry = self._read[instance.data] = (_read_record(instance), size)
        return entry[0]


def _url_of(key: str, value: str) -> str:
    """Return the one spelling of a name in claims; *key* and *value* are folded."""
    return f"http://{value}.{key}.asab"


def _host_of(issuer: object) -> str:
    return issuer.removeprefix("http://") if isinstance(issuer, str) else ""


def _speaks_for(instance: Instance, value: str) -> bool:
    """Tell whether a live process owns the record, and *value* is its only instance id."""
    return instance.ephemeral and [own for key, own in instance.ids if key == _ID_KEY] == [value]


def _read_record(instance: Instance) -> PublicKey | None:
    """Return the key in a record, if it is one of P-256: others can be made so that verifying takes long."""
    own = instance.record().get("peerage")
    jwk = own.get(RECORD_FIELD) if isinstance(own, dict) else None
    if isinstance(jwk, dict) and jwk.get("kty") == "EC" and jwk.get("crv") == "P-256":
        with suppress(ValueError):
            return read_key(jwk)
    return None
