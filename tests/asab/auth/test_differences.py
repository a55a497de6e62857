"""Every kind of token, sent to the same program on the original and on us."""

import asyncio
from pathlib import Path

from tests.asab.auth.programs import SERVICE, asked, named, seacat
from tests.asab.auth.table import DIFFERENCES, KEYS, headers
from tests.asab.zookeeper.programs import on

GUIDE = (Path(__file__).parents[3] / "docs/asab-migration.md").read_text(encoding="utf-8")


async def answers(service, header):
    """The statuses of two requests for readers and one for superusers."""
    found = []
    for path in ("/read", "/read", "/root"):
        sent = {} if header is None else {"Authorization": header}
        async with service.session.get(path, headers=sent) as response:
            await response.read()
            found.append(str(response.status))
    return " ".join(found)


async def test_every_difference_is_known(zookeeper, tmp_path):
    """A new one fails, and one that has vanished."""
    environ = on(zookeeper)
    async with seacat(environ) as auth:
        await auth.publish(*KEYS)
        config = tmp_path / "service.conf"
        url = f"http://127.0.0.1:{auth.session._base_url.port}/.well-known/jwks.json"
        config.write_text(f"[auth]\npublic_keys_url={url}\n")
        program, here = SERVICE + "Service().run()", named(environ, "ours-1")
        async with (
            asked(program, here, config=config) as ours,
            asked(program, named(environ, "theirs-1"), config=config, original=True) as theirs,
        ):
            found = {
                name: tuple(await asyncio.gather(answers(theirs, header), answers(ours, header)))
                for name, header in headers().items()
            }
    assert f"Of {len(found)} kinds of tokens, {len(DIFFERENCES)} are" in GUIDE
    differing = {name: both for name, both in found.items() if both[0] != both[1]}
    assert differing == {name: (there, here) for name, (there, here, _) in DIFFERENCES.items()}
