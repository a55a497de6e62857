"""What everybody who reaches a registry without access lists could do to who verifies tokens."""

from collections.abc import Collection

from yarl import URL

from peerage.records.names import is_logical
from peerage.registry import Registry

__all__ = ["exposure"]


def exposure(registry: Registry, urls: Collection[str], internal: str | None) -> str | None:
    """Return what is to be told at the start; None where nobody else may write, or nothing depends on it.

    Args:
        registry: where services and keys are found.
        urls: of users' keys.
        internal: what he could do about internal tokens; None if they aren't accepted.
    """
    if not registry.open_to_all:
        return None
    hosts = [url.host for url in map(URL, urls) if url.scheme == "http" and is_logical(url.host)]
    dangers = [f"advertise himself as {host} and be believed what he signs" for host in hosts]
    if internal is not None:
        dangers.append(internal)
    if not dangers:
        return None
    return (
        f"Anybody who reaches the registry {registry.url} can {' or '.join(dangers)}, and so do whatever he "
        "likes here. Give it credentials, with which acl=creator goes"
        f"{', and name keys by https URLs: only that tells who answers' * bool(hosts)}."
    )
