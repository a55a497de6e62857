"""What these tests share: registries, and files made by hand."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from peerage.backends.embedded import open_embedded
from peerage.backends.embedded.registry import EmbeddedRegistry


@asynccontextmanager
async def opened(base: Path, query: str = "") -> AsyncIterator[EmbeddedRegistry]:
    """A registry in the folder *base*, closed in the end."""
    registry = open_embedded(f"embedded://{base}{query}")
    try:
        yield registry
    finally:
        await registry.aclose()


async def begun(coroutine: Coroutine[object, object, object]) -> asyncio.Task[object]:
    """A task that has taken its first step."""
    task = asyncio.ensure_future(coroutine)
    await asyncio.wait([task], timeout=0)
    return task


def run_folder(base: Path) -> Path:
    """The folder with the records of the default path."""
    return base / "run.asab"


def names_in(folder: Path) -> list[str]:
    """All names in the folder."""
    return sorted(path.name for path in folder.iterdir())


def open_files() -> list[str]:
    """The files to which this process's descriptors lead."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor by which the list is read
            found.append(str(descriptor.readlink()))
    return found


def records_in(base: Path) -> list[str]:
    """Names of the records' files, without drafts."""
    return [name for name in names_in(run_folder(base)) if not name.startswith(".")]


def locked(path: Path) -> bool:
    """Whether the file is locked, which means that its owner lives."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


@contextmanager
def made_by_hand(path: Path, data: bytes = b"by hand") -> Iterator[None]:
    """A record that this test itself owns."""
    draft = path.with_name(f".tmp.{path.name}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, data)
        draft.rename(path)
        yield
    finally:
        os.close(fd)
