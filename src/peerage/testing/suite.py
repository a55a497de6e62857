"""Helpers of the suite: registries that are closed in the end, records that are registered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from peerage.registry import Advertisement, Registry

__all__ = ["closing", "registered"]


@asynccontextmanager
async def closing(*registries: Registry) -> AsyncIterator[tuple[Registry, ...]]:
    """Close all of them in the end, also after an exception."""
    try:
        yield registries
    finally:
        for registry in registries:
            await registry.aclose()


async def registered(registry: Registry, name: str, data: bytes) -> Advertisement:
    """Advertise, and return once the record is in the registry."""
    advertisement = registry.advertise(name, data)
    await advertisement.registered()
    return advertisement
