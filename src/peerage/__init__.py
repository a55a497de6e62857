"""Service discovery for asyncio: advertise once, call every peer by name."""

__version__ = "0.1.0"
