"""The cluster that the pictures of the page show: a shop, and what happened in it during an hour."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from peerage.registry import Advertisement, Registry, open_registry

#: When the pictures were made, as the page says.
NOW = datetime(2026, 11, 30, 14, 20, tzinfo=UTC)

#: Each service with the versions of its instances, oldest first, and the hours since they were launched.
_SERVICES = {
    "accounts": (["v12.4.1"] * 2, 61),
    "catalog": (["v8.0.3"] * 2, 26),
    "inventory": (["v5.17.0"] * 2, 190),
    "invoices": (["v2.9.4"] * 2, 75),
    "orders": (["v31.2.0", "v31.2.0", "v31.3.0", "v31.3.0"], 49),
    "payments": (["v19.0.2"] * 3, 120),
    "pricing": (["v7.6.1"] * 5, 14),
    "recommendations": (["v0.44.0"] * 2, 8),
    "search": (["v15.1.0"] * 3, 33),
    "sessions": (["v4.2.2"] * 2, 310),
    "shipping": (["v10.3.0"], 97),
}

_WORDS = (
    *("accounts", "audit", "billing", "catalog", "checkout", "currencies", "discounts", "exports", "fraud"),
    *("inventory", "invoices", "ledger", "loyalty", "mail", "media", "notifications", "orders", "partners"),
    *("payments", "pricing", "recommendations", "refunds", "reports", "returns", "reviews", "search"),
    *("sessions", "shipping", "stock", "suppliers", "taxes", "tracking", "vouchers"),
)
_MANY = [f"{word}-{kind}" for word in _WORDS for kind in ("api", "worker", "events")]

#: Which of 211 instances is draining.
_DRAINING = 5

_ANYWHERE = "0.0.0.0"  # noqa: S104 - a notation of the record


def _record(service: str, number: int, version: str, launched: datetime, **more: Any) -> dict[str, Any]:
    node = (sum(service.encode()) + number) % 6 + 1
    return {
        "host": f"node-{node}",
        "service_id": service,
        "instance_id": f"{service}-{number}",
        "node_id": f"node-{node}",
        "appclass": f"{service.title()}Application",
        "version": version,
        "launch_time": launched.isoformat(),
        "web": [[_ANYWHERE, _port(service, number)]],
        **more,
    }


def _port(service: str, number: int) -> int:
    """Return a port that no other instance has."""
    services = [*_SERVICES, "mail", "reports", *_MANY]
    return 8000 + 40 * services.index(service) + number


class Shop:
    """The records of a cluster, in *registry*; *at* is called with the time at which something happens."""

    def __init__(self, registry: Registry, at: Callable[[datetime], object]) -> None:
        self._registry = registry
        self._at = at
        self._records: dict[str, tuple[Advertisement, dict[str, Any]]] = {}

    async def add(self, record: dict[str, Any]) -> None:
        """Advertise an instance."""
        owned = self._registry.advertise(record["appclass"], json.dumps(record).encode())
        self._records[record["instance_id"]] = owned, record
        await owned.registered()

    async def change(self, instance: str, **fields: Any) -> None:
        """Change fields of the record of an instance."""
        owned, record = self._records[instance]
        record.update(fields)
        owned.update(json.dumps(record).encode())
        await owned.registered()

    async def remove(self, instance: str) -> None:
        """Withdraw the record of an instance."""
        await self._records.pop(instance)[0].withdraw()

    async def begin(self) -> None:
        """Advertise what runs since before the hour that is shown."""
        for service, (versions, hours) in _SERVICES.items():
            for number, version in enumerate(versions, start=1):
                launched = NOW - timedelta(hours=hours, minutes=3 * number)
                await self.add(_record(service, number, version, launched, discovery=_ids(service, number)))
        reports = _record("reports", 1, "v3.0.0", NOW - timedelta(hours=5))
        await self.add({**reports, "web": [[_ANYWHERE, 8700], ["node-2:8701"]]})

    async def happen(self) -> None:
        """Let an hour pass."""
        for minutes, number in ((48, 3), (44, 4)):
            await self._moment(minutes + 1, self.change(f"orders-{number}", peerage={"state": "draining"}))
            await self._moment(minutes, self.remove(f"orders-{number}"))
            launched = NOW - timedelta(minutes=minutes)
            fresh = _record("orders", number, "v31.3.0", launched, discovery=_ids("orders", number))
            await self._moment(minutes, self.add(fresh))
        await self._moment(37, self.remove("search-3"))
        again = _record("search", 3, "v15.1.0", NOW - timedelta(minutes=36), discovery=_ids("search", 3))
        await self._moment(36, self.add(again))
        for minutes, number in ((21, 6), (20, 7)):
            launched = NOW - timedelta(minutes=minutes)
            await self._moment(minutes, self.add(_record("pricing", number, "v7.6.1", launched)))
        attention = {"disk": {"message": "The disk of node-1 is 93 % full"}}
        await self.change("inventory-2", attention_required=attention)
        await self._moment(2, self.change("orders-2", peerage={"state": "draining"}))

    async def _moment(self, minutes: int, happens: Any) -> None:
        # What happened before must have been seen at its own time.
        await asyncio.sleep(0.3)
        self._at(NOW - timedelta(minutes=minutes))
        await happens
        await asyncio.sleep(0.3)


def _ids(service: str, number: int) -> dict[str, Any]:
    ids: dict[str, Any] = {"site_id": ["prague" if number % 2 else "brno"]}
    if service in {"orders", "pricing", "catalog"}:
        ids["shard"] = [2 * number - 1, 2 * number]
    return ids


def suspect() -> str:
    """Return the record of the instance that is killed, the only one of its service."""
    record = _record("mail", 1, "v6.1.9", NOW - timedelta(hours=18))
    return json.dumps(record)


def two_thousand() -> list[dict[str, Any]]:
    """Return the records of 2,000 instances."""
    records = []
    for number in range(2000):
        service = _MANY[number * 7 % len(_MANY)]
        version = f"v{len(service)}.{sum(service.encode()) % 30}.{1 if number % 97 else 0}"
        launched = NOW - timedelta(minutes=37 * (number % 311) + 11)
        record = _record(service, number // len(_MANY) + 1, version, launched)
        if number % 211 == _DRAINING:
            record["peerage"] = {"state": "draining"}
        records.append(record)
    return records


@asynccontextmanager
async def advertised(url: str, records: list[dict[str, Any]]) -> AsyncIterator[None]:
    """Advertise *records* in the registry of a URL."""
    async with AsyncExitStack() as stack:
        registry = open_registry(url)
        stack.push_async_callback(registry.aclose)
        shop = Shop(registry, lambda _: None)
        await asyncio.gather(*(shop.add(record) for record in records))
        yield
