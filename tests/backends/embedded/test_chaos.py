"""Six writers that are killed at any moment, watched with inotify and by polling.

No data is torn, no living record is reported as gone, and all watchers end with the same records.
"""

import asyncio
import hashlib
import json
import random
import sys
from pathlib import Path

from tests.backends.embedded.support import locked, opened, records_in, run_folder
from tests.backends.programs import program

from peerage.registry import Gone, Put, Snapshot
from peerage.testing import View

_WRITERS = 6
_OPERATIONS = 250
_SEED = 20

_WRITER = """
    import asyncio, hashlib, random, sys
    from peerage.registry import open_registry

    def data(random):
        body = random.randbytes(random.randrange(4000)).hex().encode()
        return hashlib.sha256(body).hexdigest().encode() + body

    async def main(url, seed, operations):
        choice, registry, owners = random.Random(seed), open_registry(url), []
        for number in range(int(operations)):
            kind = choice.choice(["advertise", "update", "update", "withdraw"])
            if kind == "advertise" or not owners:
                owners.append(registry.advertise(f"W{seed}", data(choice)))
            elif kind == "update":
                choice.choice(owners).update(data(choice))
            else:
                await owners.pop(choice.randrange(len(owners))).withdraw()
            if choice.random() < 0.5 and owners:
                await owners[-1].registered()
            print(number + 1, flush=True)
        for owner in owners:
            await owner.registered()
        print("done", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    asyncio.run(main(*sys.argv[1:]))
    """

_POLLING_WATCHER = """
    import asyncio, sys
    sys.path.insert(0, sys.argv[2])
    from pathlib import Path
    from tests.backends.embedded.test_chaos import watch_until_equal

    asyncio.run(watch_until_equal(Path(sys.argv[1])))
    """


class CheckedView(View):
    """A view that checks each event against the folder."""

    base: Path

    def _apply(self, event: object) -> None:
        super()._apply(event)
        match event:
            case Snapshot(records):
                for record in records:
                    _check(record.data)
            case Put(record):
                _check(record.data)
            case Gone(name):
                # Numbers are never reused, so no other record can have this name.
                assert not locked(run_folder(self.base) / name), f"{name} was reported as gone and lives"


def _check(data: bytes) -> None:
    assert hashlib.sha256(data[64:]).hexdigest().encode() == data[:64], "torn data"


async def watch_until_equal(base: Path) -> None:
    """Watch in a separate process until the records that standard input gives are what is seen."""
    CheckedView.base = base
    async with opened(base) as registry, CheckedView(registry) as view:
        await view.until(lambda: view.ready)
        print((await registry.inspect()).details["changes"], flush=True)  # noqa: T201 - the answer
        truth = json.loads(await asyncio.to_thread(sys.stdin.readline))
        await view.until(lambda: _digests(view) == truth, "the truth")
        print("equal", flush=True)  # noqa: T201 - the answer


def _digests(view: View) -> dict[str, str]:
    return {name: data[:64].decode() for name, data in view.data.items()}


async def _write(base: Path, seed: int, ready: asyncio.Event, done: asyncio.Event, ended: list[int]) -> None:
    """Run one writer, and replace it when it is killed, until all operations are done."""
    choice, left, life = random.Random(seed), _OPERATIONS, 0
    while True:
        life += 1
        async with program(_WRITER, f"embedded://{base}", seed * 1000 + life, left) as writer:
            dies_after = choice.randrange(10, 120)
            while (line := await writer.line()) != "done":
                if int(line) >= dies_after:
                    writer.kill()
                    break
            else:
                ended.append(seed)
                if len(ended) == _WRITERS:
                    ready.set()
                await done.wait()
                return
            left = max(1, left - dies_after)


async def test_chaos(tmp_path):
    base = tmp_path / "r"
    CheckedView.base = base
    root = Path(__file__).parents[3]
    ready, done, ended = asyncio.Event(), asyncio.Event(), []
    async with (
        opened(base) as registry,
        CheckedView(registry) as view,
        program(_POLLING_WATCHER, base, root, PEERAGE_EMBEDDED_POLL="1") as polling,
    ):
        assert await polling.line() == "polling"
        async with asyncio.TaskGroup() as group:
            for seed in range(_SEED, _SEED + _WRITERS):
                group.create_task(_write(base, seed, ready, done, ended))
            await ready.wait()
            truth = {
                name: (run_folder(base) / name).read_bytes()[:64].decode()
                for name in records_in(base)
                if locked(run_folder(base) / name)
            }
            assert truth
            await view.until(lambda: _digests(view) == truth, "the truth")
            await polling.tell(json.dumps(truth))
            assert await polling.line() == "equal"
            done.set()
