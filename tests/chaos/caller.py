"""A program that calls instances on this host, ``python -m tests.chaos.caller``, so that it can be stopped.

Its arguments are ``peerage`` or ``plain``, which calls them in turn by their addresses; how many calls it
makes a second; for how many seconds; and the ports. It writes a line when it begins; at the end the share of
the calls that were answered, and how often peerage ejected an instance or had a probe fail.
"""

import asyncio
import json
import sys
from itertools import cycle
from uuid import uuid4

import aiohttp
from tests.chaos.conftest import Callers, services_in

#: A new connection for each call takes more of its time, and fails sooner.
TIMEOUT = aiohttp.ClientTimeout(total=1)


class InTurn:
    """A session that asks one address after the other."""

    def __init__(self, session: aiohttp.ClientSession, ports: list[int]):
        self._session = session
        self._urls = cycle([f"http://127.0.0.1:{port}/" for port in ports])

    def request(self, method: str, _url: str, **kwargs):
        return self._session.request(method, next(self._urls), **kwargs)


def say(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


async def main(kind: str, rate: str, seconds: str, *ports: str) -> None:
    async with services_in(f"memory:{uuid4()}") as services:
        for port in ports:
            await services.advertise(int(port))
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        made = services.discovery.session if kind == "peerage" else aiohttp.ClientSession
        async with made(connector=connector, timeout=TIMEOUT) as session:
            callers = Callers(session if kind == "peerage" else InTurn(session, services.ports))
            await callers.send(float(rate), callers.now + 1, "GET")
            callers.results.clear()
            say("begun")
            await callers.send(float(rate), callers.now + float(seconds), "GET")
        counts = services.discovery.call_counts()
        answered = 1 - len(callers.failed()) / len(callers.results)
        say([answered, counts.ejections, counts.probes_failed])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
