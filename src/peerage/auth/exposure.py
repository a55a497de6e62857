"""Warns where any process that reaches the registry could impersonate services or issue tokens."""

from collections.abc import Collection

from yarl import URL

from peerage.records.names import is_logical
from peerage.registry import Registry

__all__ = ["exposure"]


def exposure(registry: Registry, urls: Collection[str], internal: str | None) -> str | None:
    """Return the warning; None where the registry is protected, or no key depends on it.

    Args:
        registry: where services and keys are found.
        urls: of users' keys.
        internal: what such a process could do about internal tokens; None if they aren't accepted.
    """
    if not registry.open_to_all:
        return None
    hosts = [url.host for url in map(URL, urls) if url.scheme == "http" and is_logical(url.host)]
    dangers = [f"impersonate {host} and issue tokens that are accepted here" for host in hosts]
    if internal is not None:
        dangers.append(internal)
    if not dangers:
        return None
    return (
        f"Anyone who can write to {registry.url} can {', and '.join(dangers)}. "
        "Set credentials and acl=creator in its URL"
        f"{', and write https URLs of keys: only https verifies which server answers' * bool(hosts)}."
    )
