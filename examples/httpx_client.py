"""A program that calls a service by its name with httpx; it isn't advertised itself."""

import asyncio

import httpx

from peerage import Discovery, NotDiscoveredError
from peerage.integrations.httpx import AsyncTransport


async def main():
    async with Discovery() as discovery, httpx.AsyncClient(transport=AsyncTransport(discovery)) as client:
        try:
            response = await client.get("http://orders.service_id.asab/v1/orders")
            print(response.status_code, response.json())
        except NotDiscoveredError as error:  # an httpx.ConnectError as well
            print(error)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
