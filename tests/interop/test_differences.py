"""The same records, the same questions: the original and we answer alike, apart from what is stated."""

import asyncio
import json
import random
import socket
from typing import Any

import pytest
from tests.backends.zookeeper.support import bare_client
from tests.interop.cases import BASE, CASES, QUERIES, Reason, label
from tests.interop.original import Original, original

from peerage import Discovery

Answers = dict[str, Any]

_FAMILIES = {socket.AF_INET: 4, socket.AF_INET6: 6}


async def ours(url: str, queries: list[dict[str, Any]]) -> Answers:
    """What we find in that folder."""
    async with Discovery(url) as discovery:
        found = await discovery.discover()
        answers: Answers = {label(query): sorted(await discovery.locate(query)) for query in queries}
    answers["discover"] = {
        (key, repr(value)): sorted([host, port, _FAMILIES[family]] for host, port, family in addresses)
        for key, values in found.items()
        for value, addresses in values.items()
    }
    return answers


async def theirs(peer: Original, path: str, queries: list[dict[str, Any]]) -> Answers:
    """What the original finds there."""
    reply = await peer.tell("answers", [f"/{path}", queries])
    if "broken" in reply:
        return {"scan": reply["broken"]}
    answers: Answers = dict(zip(map(label, queries), reply["locate"], strict=True))
    answers["discover"] = {(key, repr(value)): addresses for key, value, addresses in reply["discover"]}
    return answers


def differing(here: Answers, there: Answers) -> set[str]:
    """The questions answered differently."""
    if "scan" in there:
        return {"scan"}
    return {question for question in here if here[question] != there[question]}


@pytest.fixture
async def client(zookeeper):
    """A client of neither side; its session owns the records of fake services."""
    async with bare_client(zookeeper.address) as client:
        yield client


async def put(client, path: str, node: str, data: bytes, *, ephemeral: bool = True) -> None:
    """Write a record."""

    def write() -> None:
        client.create(f"/{path}/run/{node}.", data, ephemeral=ephemeral, sequence=True, makepath=True)

    await asyncio.to_thread(write)


async def test_every_case_is_answered_alike_or_as_stated(zookeeper, url, path, client):
    """A difference that isn't stated fails, and so does one that is stated and isn't there."""
    surprises = {}
    async with original(zookeeper.address, f"{path}-itself") as peer:
        for number, case in enumerate(CASES):
            folder = f"{path}-{number}"
            queries = [*QUERIES, *case.queries]
            await put(client, folder, "Base", json.dumps(BASE).encode())
            if case.before is not None:
                await put(client, folder, "Before", json.dumps(case.before).encode())
            await put(client, folder, "Case", case.data, ephemeral=case.ephemeral)
            here = await ours(url.replace(path, folder), queries)
            there = await theirs(peer, folder, queries)
            expected = set(case.differs) if case.why else set()
            if differing(here, there) != expected:
                surprises[case.name] = (expected, here, there)
            assert here["service_id='base'"] == ["http://node-0:8000"], case.name
    assert not surprises, surprises


def test_every_reason_is_needed():
    """The list of differences doesn't outlive them."""
    reasons = {value for name, value in vars(Reason).items() if name.isupper()}
    assert {case.why for case in CASES if case.why} == reasons
    assert len({case.name for case in CASES}) == len(CASES)


def _some_record(chance: random.Random, number: int) -> dict[str, Any]:
    """One as a service of the original writes it, with what it may have and may lack."""
    optional = {
        "service_id": f"svc-{number % 7}",
        "version": "v1",
        "containerized": True,
        "discovery": {"colour": chance.sample(["blue", "green", "red"], chance.randrange(1, 3))},
        "attention_required": {"1": {"_c": "2024-05-01T10:00:00.000000Z"}},
    }
    record: dict[str, Any] = {
        "host": f"node-{chance.randrange(5)}",
        "appclass": "App",
        "launch_time": "2024-05-01T10:00:00.000000Z",
        "process_id": number,
        "instance_id": f"inst-{number}",
        "web": [["0.0.0.0", 8000 + number % 50]],
        **{key: value for key, value in optional.items() if chance.random() < 0.6},
    }
    if chance.random() < 0.3:
        record["web"].append(["::", 8000 + number % 50])
    if chance.random() < 0.1:
        del record["web"]
    return record


@pytest.mark.parametrize("seed", range(3))
async def test_what_services_write_is_answered_alike(zookeeper, url, path, client, seed):
    """Two hundred random records, all their ids, and some ids that no record has."""
    chance = random.Random(seed)
    for number in range(200):
        await put(client, path, "App", json.dumps(_some_record(chance, number)).encode())
    queries: list[dict[str, Any]] = [
        *({"instance_id": f"inst-{number}"} for number in range(202)),
        *({"service_id": f"svc-{number}"} for number in range(8)),
        *({"colour": colour} for colour in ("blue", "green", "red", "grey")),
    ]
    async with original(zookeeper.address, f"{path}-itself") as peer:
        here, there = await ours(url, queries), await theirs(peer, path, queries)
    assert differing(here, there) == set()
    assert sum(map(bool, here.values())) > 150
