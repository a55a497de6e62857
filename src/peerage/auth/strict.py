"""Tokens that speak for one instance: a key of its own for each, whose public part is in its record.

A token is valid for two minutes, for the name that was asked, and for the resources that its sender chose.
Who gets hold of an instance's key speaks for that instance and no other. The keys are as true as the
registry: who may write records there may advertise any key as anybody's.
"""

import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from heapq import nlargest
from typing import Any, Final

from peerage.auth.claims import check_parties
from peerage.auth.jose import PrivateKey, PublicKey, Token, fitting, read_key, read_payload
from peerage.auth.reasons import Reason
from peerage.directory import Directory
from peerage.errors import ConfigurationError, NotDiscoveredError, NotReadyError, TokenRefusedError
from peerage.records.identity import Identity
from peerage.records.instance import Instance
from peerage.records.names import fold_value, is_logical, parse_host

__all__ = ["RECORD_FIELD", "InstanceAuthority", "InstanceKeys", "url_of"]

#: Where the key is in a record: under ``peerage``.
RECORD_FIELD: Final = "auth_key"

#: Seconds that a token lives, how many are left when it is replaced, and how long anybody's may live.
LIFETIME: Final = 120.0
RENEWAL: Final = 60.0
_LONGEST: Final = 300.0

#: Tokens, and keys of others, that are remembered.
_REMEMBERED: Final = 1024

#: Records of one instance id that are looked at, newest first: others are of processes that died.
_RECORDS: Final = 8


def url_of(key: str, value: str) -> str:
    """Return the one spelling of a name in claims; *key* and *value* are folded."""
    return f"http://{value}.{key}.asab"


class InstanceAuthority:
    """Issues the tokens of this instance; its key is in memory only, and ends with it.

    Args:
        identity: who this process is; asked for each token.
        clock: seconds since the epoch.
    """

    def __init__(self, identity: Callable[[], Identity], *, clock: Callable[[], float] = time.time) -> None:
        self._identity = identity
        self._clock = clock
        self._key = PrivateKey.generate()
        self._tokens: dict[tuple[str, str], tuple[str, float, float]] = {}

    @property
    def public(self) -> PublicKey:
        """What its tokens are verified by; :meth:`~PublicKey.as_dict` of it belongs into the record."""
        return self._key.public

    def token(self, host: str, resources: Mapping[str, Sequence[str]]) -> str:
        """Return a token for a ``.asab`` *host*, valid for a minute at least; made for each once a minute.

        Args:
            host: whoever is to accept it: ``orders.service_id.asab``.
            resources: what it allows: ``{"*": ["orders:read"]}``, by tenant or globally.

        Raises:
            ConfigurationError: this process has no INSTANCE_ID.
            NotDiscoveredError: *host* is no complete name.
        """
        audience, wanted, now = (
            url_of(*parse_host(host)),
            json.dumps(resources, sort_keys=True),
            self._clock(),
        )
        token, issued, expires = self._tokens.get((audience, wanted), ("", 0.0, 0.0))
        if issued <= now < expires - RENEWAL:
            return token
        identity = self._identity()
        if not identity.instance_id:
            raise ConfigurationError(
                "A token of this instance needs a name in it: set INSTANCE_ID in the environment."
            )
        issuer = url_of("instance_id", fold_value(identity.instance_id))
        times = {"iat": int(now), "exp": int(now + LIFETIME)}
        parties = {"iss": issuer, "sub": issuer, "azp": issuer, "aud": audience}
        token = self._key.sign({**parties, **times, "resources": json.loads(wanted)})
        if len(self._tokens) >= _REMEMBERED:
            self._tokens.clear()
        self._tokens[audience, wanted] = (token, now, now + LIFETIME)
        return token


class InstanceKeys:
    """The keys in the records of a directory: a :class:`peerage.auth.KeySource`.

    Args:
        directory: who is there.
        ready: waits until the directory has had its first snapshot; NotReadyError if it takes too long.
        is_ready: whether it has.
        names: returns the URLs by which this process is called, as :func:`url_of` spells them.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        ready: Callable[[], Awaitable[object]],
        is_ready: Callable[[], bool],
        names: Callable[[], Collection[str]],
    ) -> None:
        self.name = "the instances of the registry"
        self.problem: str | None = "the registry wasn't read yet"
        self._directory = directory
        self._ready = ready
        self._is_ready = is_ready
        self._names = names
        self._read: dict[bytes, PublicKey | None] = {}

    @property
    def empty(self) -> bool:
        """Whether nobody can be known."""
        return not self._is_ready()

    @property
    def retry_after(self) -> float:
        """Seconds until it is worth asking again."""
        return 1.0

    @property
    def overdue(self) -> bool:
        """Never: the directory is told of changes."""
        return False

    def touch(self) -> None:
        """Nothing is old here."""

    async def renew(self) -> None:
        """Wait until the directory has had its first snapshot."""
        try:
            await self._ready()
        except NotReadyError as error:
            self.problem = str(error)

    async def aclose(self) -> None:
        """Nothing is kept open."""

    def candidates(self, token: Token) -> Sequence[PublicKey]:
        """Return the keys of the instance that *token* says it is from: nobody else's can have signed it."""
        try:
            claims = read_payload(token.payload)
        except TokenRefusedError:
            return ()
        return fitting(self._keys_of(claims.get("iss")), token)

    def holds(self, key: PublicKey, claims: Mapping[str, Any]) -> bool:
        """Tell whether the instance is there still, with that key."""
        return key in self._keys_of(claims.get("iss"))

    def check(self, claims: Mapping[str, Any]) -> None:
        """Refuse what is meant for others, and what lives too long (TokenRefusedError)."""
        check_parties(claims, audiences=self._names())
        if claims["exp"] - claims["iat"] > _LONGEST:
            raise TokenRefusedError(Reason.CLAIMS, f"It is valid for longer than {_LONGEST:g} s.")

    def _keys_of(self, issuer: object) -> list[PublicKey]:
        host = issuer.removeprefix("http://") if isinstance(issuer, str) else ""
        if not is_logical(host):
            return []
        try:
            key, value = parse_host(host)
        except NotDiscoveredError:
            return []
        # A service or shard is several instances, none of which may speak for the others.
        if key != "instance_id" or issuer != url_of(key, value):
            return []
        theirs = [each for each in self._directory.find(((key, value),)) if _speaks_for(each, value)]
        newest = nlargest(_RECORDS, theirs, key=lambda each: each.sequence)
        return [key for key in map(self._key_of, newest) if key is not None]

    def _key_of(self, instance: Instance) -> PublicKey | None:
        if instance.data not in self._read:
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            self._read[instance.data] = _read_record(instance)
        return self._read[instance.data]


def _speaks_for(instance: Instance, value: str) -> bool:
    """Tell whether a process owns the record, and has this one instance id: no one is two."""
    return instance.ephemeral and [own for key, own in instance.ids if key == "instance_id"] == [value]


def _read_record(instance: Instance) -> PublicKey | None:
    own = instance.record().get("peerage")
    try:
        return read_key(own.get(RECORD_FIELD)) if isinstance(own, dict) else None
    except ValueError:
        return None
