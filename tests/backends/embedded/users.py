"""A program that takes part in an embedded registry as some user, on command.

Its arguments are a URL, and the numbers of a user and of a group, which is 0 for none. Each line of its
standard input is a JSON list, the name of a method of :class:`User` and its arguments; it answers each with a
line of JSON.
"""

import asyncio
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

from peerage.integrations.election import PortLock
from peerage.registry import Advertisement, open_registry
from peerage.testing import View


async def rehearse() -> None:
    """Import everything that is needed before the user changes, who may not read these sources."""
    with tempfile.TemporaryDirectory() as folder:
        registry = open_registry(f"embedded://{folder}")
        async with View(registry):
            await registry.advertise("App", b"").registered()
            await registry.secrets.obtain("/key", lambda: b"key")
        await registry.aclose()
    await asyncio.to_thread(int)


def become(user: int, group: int) -> None:
    """Go on as *user*, in *group* unless it is 0, and let new files be closed to all others."""
    os.setgroups([group] if group else [])
    os.setgid(user)
    os.setuid(user)
    # Files for the group need more.
    os.umask(0o077)


class User:
    """The commands."""

    def __init__(self, url: str) -> None:
        self._registry = open_registry(url)
        self._view = View(self._registry)
        self._own: Advertisement | None = None

    async def aclose(self) -> None:
        """Close the registry."""
        await self._view.aclose()
        await self._registry.aclose()

    async def advertise(self, data: str) -> str:
        """Advertise one record, and return its name."""
        self._own = self._registry.advertise("App", data.encode())
        return await self._own.registered()

    async def update(self, data: str) -> None:
        """Replace that record."""
        self._own.update(data.encode())
        await self._own.registered()

    async def sees(self, *data: str) -> bool:
        """Return once the data of all records is *data*."""
        await self._view.until_data(each.encode() for each in data)
        return True

    async def is_stale(self) -> str:
        """Return why the registry is out of touch, once it is."""
        await self._view.until(lambda: self._view.stale)
        return self._view.stale

    async def obtain(self, value: str) -> str:
        """Return the secret, which is *value* if there is none yet."""
        return (await self._registry.secrets.obtain("/key", value.encode)).decode()

    async def replace(self, value: str) -> None:
        """Replace the secret."""
        await self._registry.secrets.replace("/key", value.encode())

    async def lock(self, port: int) -> bool:
        """Take the lock of a port until the end."""
        return PortLock("127.0.0.1", port).take()

    # What no service does

    async def overwrite(self, path: str) -> None:
        """Write into a file."""
        await asyncio.to_thread(Path(path).write_text, "overwritten")

    async def remove(self, path: str) -> None:
        """Remove a file."""
        await asyncio.to_thread(Path(path).unlink)

    async def read(self, path: str) -> str:
        """Return what is in a file."""
        return await asyncio.to_thread(Path(path).read_text)


async def main(url: str, number: str, group: str) -> None:
    """Serve standard input."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns on slow machines
    await rehearse()
    become(int(number), int(group))
    user = User(url)
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, *arguments = json.loads(line)
        try:
            answer = await getattr(user, command)(*arguments)
        except Exception as error:  # noqa: BLE001 - the test shows it
            answer = f"{type(error).__name__}: {error}"
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
    await user.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
