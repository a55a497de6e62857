"""The authorization of one Discovery: ``discovery.auth``."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yarl import URL

from peerage.auth.allowance import Allow, Allowance
from peerage.auth.cluster_tokens import ClusterTokens
from peerage.auth.fetched_keys import Fetch, FetchedKeys, fetched_keys
from peerage.auth.instance_tokens import InstanceKeys, InstanceTokens
from peerage.auth.saved_key import SavedKey
from peerage.auth.verifier import KeySource, Verifier
from peerage.disk_cache import DiskCache
from peerage.errors import ConfigurationError
from peerage.membership import Membership
from peerage.records.identity import Identity
from peerage.records.names import is_logical
from peerage.registry import KEY_NAME

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """What happened to the tokens of callers, since the first one."""

    accepted: int
    """Tokens that were accepted, those that were known from before included."""
    refused: Mapping[str, int]
    """Refused requests by reason; :class:`peerage.auth.Reason` explains them. Reasons that never occurred
    are left out."""
    fetches: int
    """How often users' keys were fetched."""
    fetches_failed: int
    """How often they couldn't be."""
    keys: int
    """Users' keys that are known now."""


class Authorization:
    """Makes verifiers, issues internal tokens, and closes both.

    Args:
        membership: the registry and its directory.
        mode: which key signs internal tokens: the ``cluster``'s, or one of each ``instance``.
        identity: of this process.
        names: the ``(key, value)`` pairs, folded, under which this process is advertised.
        fetch: fetches users' keys.
        key_root: path in front of the name of the cluster's key; empty for none.
        key_cache: where the cluster's key is saved; None: nowhere.

    Raises:
        ConfigurationError: *mode* is unknown.
    """

    def __init__(
        self,
        membership: Membership,
        *,
        mode: str,
        identity: Callable[[], Identity],
        names: Callable[[], Collection[tuple[str, str]]],
        fetch: Fetch,
        key_root: str = "",
        key_cache: DiskCache | None = None,
    ) -> None:
        if mode not in ("cluster", "instance"):
            raise ConfigurationError(f"authorization={mode!r} isn't known: write 'cluster' or 'instance'.")
        self._membership = membership
        self._identity = identity
        self._names = names
        self._fetch = fetch
        self._key_name = f"{key_root}{KEY_NAME}"
        self._key_cache = key_cache
        self._instance_tokens = InstanceTokens(identity) if mode == "instance" else None
        self._cluster_tokens: ClusterTokens | None = None
        self._verifiers: list[Verifier] = []
        self._warned = False

    @property
    def record_key(self) -> dict[str, Any] | None:
        """The public key that the record of this instance has; None in the mode ``cluster``."""
        return None if self._instance_tokens is None else self._instance_tokens.public.as_dict()

    def header(
        self, resources: Mapping[str, Sequence[str]] | None = None
    ) -> Callable[[str], Awaitable[str | None]]:
        """Return a function that returns the ``Authorization`` header for a host.

        Instance tokens allow *resources*; cluster tokens allow everything.

        Raises:
            ConfigurationError: *resources* is missing or malformed in the mode ``instance``, or given in the
                other one.
        """
        tokens = self._instance_tokens
        if tokens is None:
            if resources is not None:
                raise ConfigurationError(
                    "Cluster tokens allow everything: leave 'resources' out, or write "
                    "Discovery(authorization='instance') in all services."
                )
            return self.cluster_tokens().header
        if resources is None or any(isinstance(allowed, str) for allowed in resources.values()):
            raise ConfigurationError(
                "Say what the tokens of this session allow: resources={'*': ['orders:read']}."
            )
        chosen = {tenant: list(allowed) for tenant, allowed in resources.items()}

        async def header(host: str) -> str:
            return f"Bearer {tokens.token(host, chosen)}"

        return header

    def cluster_tokens(self) -> ClusterTokens:
        """Return the issuer of cluster tokens; ConfigurationError if the registry keeps no secrets."""
        if self._cluster_tokens is None:
            membership, registry = self._membership, self._membership.registry
            if registry.secrets is None:
                raise ConfigurationError(
                    f"Internal authorization needs a shared key, and the registry {registry.url} can't "
                    "keep one: use embedded: or zookeeper:, or authorization='instance'."
                )
            cache, name = self._key_cache, self._key_name
            self._cluster_tokens = ClusterTokens(
                registry.secrets,
                self._identity,
                name=name,
                saved=None if cache is None else SavedKey(cache, membership, name),
                out_of_reach=lambda: membership.stale,
            )
        return self._cluster_tokens

    def verifier(
        self,
        public_keys_url: str | Sequence[str] = (),
        public_keys_file: str | Path | Sequence[str | Path] = (),
        *,
        ca: str | Path | None = None,
        internal: bool = True,
        allow: Allow | None = None,
        issuers: str | Collection[str] | None = None,
        audiences: str | Collection[str] | None = None,
    ) -> Verifier:
        """Return a verifier of callers' tokens; it is closed with the Discovery.

        Args:
            public_keys_url: one or several URLs of the JWKS that verifies users' tokens; a host may be a
                ``.asab`` name: ``http://seacat-auth.service_id.asab/.well-known/jwks.json``.
            public_keys_file: one or several files of keys: a JWKS, a JWK or PEM.
            ca: PEM file of authorities that verify https servers; None: those of the system.
            internal: whether internal tokens of other services are accepted.
            allow: with instance tokens, what each instance may claim: ``{"gateway-*": {"*": ["orders:*"]}}``,
                resources by tenant or ``"*"`` by instance id; see :class:`peerage.auth.allowance.Allowance`.
                A token that claims more is refused. ``authz:superuser`` must be listed literally.
            issuers: one or several accepted ``iss`` of users' tokens; None: any.
            audiences: one or several; ``aud`` of users' tokens must name one of them; None: any.

        Raises:
            ConfigurationError: a URL or file can't work, no token could be accepted, or *allow* is missing
                with instance tokens, or given without.
        """
        urls = [public_keys_url] if isinstance(public_keys_url, str) else public_keys_url
        files = [public_keys_file] if isinstance(public_keys_file, str | Path) else public_keys_file
        if not urls and not files and not internal:
            raise ConfigurationError(
                "No token could be accepted: name a public_keys_url or a public_keys_file, "
                "or accept internal tokens."
            )
        verifier = Verifier(
            fetched_keys(urls, files, self._fetch, ca=ca, issuers=issuers, audiences=audiences),
            internal=self._internal_keys(allow) if internal else None,
        )
        self._verifiers.append(verifier)
        self._warn_of_exposure(urls, internal=internal)
        return verifier

    def _internal_keys(self, allow: Allow | None) -> KeySource:
        if self._instance_tokens is None:
            if allow is not None:
                raise ConfigurationError(
                    "allow= limits instance tokens, and cluster tokens allow everything: leave it out, or "
                    "write Discovery(authorization='instance') in all services."
                )
            return self.cluster_tokens()
        if allow is None:
            raise ConfigurationError(
                "Say what the tokens of other instances may claim: "
                "allow={'gateway-*': {'*': ['orders:*']}}, or internal=False to refuse them all."
            )
        return InstanceKeys(self._membership, names=self._names, allowance=Allowance(allow))

    def _warn_of_exposure(self, urls: Sequence[str], *, internal: bool) -> None:
        """Log once what any process that reaches an open registry could do."""
        registry = self._membership.registry
        hosts = [url.host for url in map(URL, urls) if url.scheme == "http" and is_logical(url.host)]
        dangers = [f"impersonate {host} and issue tokens that are accepted here" for host in hosts]
        if internal and self._instance_tokens is None:
            dangers.append(f"read the cluster's key, {self._key_name}, and call as a superuser")
        elif internal:
            dangers.append("advertise a key under the id of any instance")
        if dangers and registry.open_to_all and not self._warned:
            self._warned = True
            log.warning(
                "Anyone who can write to %s can %s. Set credentials and acl=creator in its URL%s.",
                registry.url,
                ", and ".join(dangers),
                ", and write https URLs of keys: only https verifies which server answers" * bool(hosts),
            )

    def counts(self) -> TokenCounts:
        """Return what happened to the tokens of callers, of all verifiers together."""
        refused: Counter[str] = Counter()
        for verifier in self._verifiers:
            refused.update(verifier.refusals.counts.copy())
        sources = [each for one in self._verifiers for each in one.sources if isinstance(each, FetchedKeys)]
        return TokenCounts(
            accepted=sum(verifier.accepted for verifier in self._verifiers),
            refused=refused,
            fetches=sum(source.fetched for source in sources),
            fetches_failed=sum(source.not_fetched for source in sources),
            keys=sum(len(source.keys) for source in sources),
        )

    async def aclose(self) -> None:
        """Close the verifiers, and stop following the cluster's key; may be called twice."""
        ends = [verifier.aclose() for verifier in self._verifiers]
        if self._cluster_tokens is not None:
            ends.append(self._cluster_tokens.aclose())
        await asyncio.gather(*ends)
