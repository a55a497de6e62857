import asyncio
import json
import logging

import aiohttp
import pytest
from aiohttp import web

from peerage import CallOptions
from peerage.errors import NotDiscoveredError
from peerage.registry import Record


def put(fleet, **record):
    fleet.directory.put(Record("App.1", json.dumps(record).encode(), 1, record.pop("ephemeral", True)))


@pytest.mark.parametrize("host", ["asab", "x.asab", "asab."])
async def test_an_incomplete_name(fleet, host):
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError, match=r"write <value>\.<key>\.asab"):
            await session.get(f"http://{host}/")


async def test_nothing_known_by_that_name(fleet):
    await fleet.serve()
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError, match=r"'stock' is among the 1 that are known.*peerage ls"):
            await session.get("http://stock.service_id.asab/")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"host": "here"}, "advertises no web address"),
        ({"host": "here", "web": [["127.0.0.1", 80]]}, "loopback"),
        ({"web": [["0.0.0.0", 80]]}, "names no host"),
    ],
)
async def test_known_but_not_callable(fleet, record, reason):
    put(fleet, service_id="orders", **record)
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError, match=f"1 instance with|{reason}") as raised:
            await session.get("http://orders.service_id.asab/")
    assert reason in str(raised.value)


async def test_a_record_without_a_process(fleet):
    record = {"service_id": "orders", "host": "here", "web": [["0.0.0.0", 80]]}
    fleet.directory.put(Record("left-by-hand", json.dumps(record).encode(), 1, ephemeral=False))
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError, match="belongs to no process"):
            await session.get("http://orders.service_id.asab/")


async def test_records_can_not_write_to_the_terminal(fleet):
    put(fleet, service_id="orders", instance_id="\x1b[31mred\n", host="\u202eevil", web=[["0.0.0.0", 1]])
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError) as raised:
            await session.get("http://orders.service_id.asab/")
    assert str(raised.value).isascii()
    assert str(raised.value).isprintable()


async def test_a_host_that_is_invalid_in_a_url_affects_that_instance_only(fleet):
    put(fleet, service_id="orders", host="xn--\u00e9" + "a" * 70, web=[["0.0.0.0", 1]])
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError, match="none of their hosts has an address"):
            await session.get("http://orders.service_id.asab/")
        served = await fleet.serve()
        async with session.get("http://orders.service_id.asab/") as response:
            assert (await response.json())["node"] == served.name


async def test_an_error_that_reaches_the_caller_as_it_is_says_why_there_was_no_other_attempt(fleet):
    async def hang(request):
        await asyncio.Event().wait()

    served = [await fleet.serve(hang) for _ in range(2)]
    limits = aiohttp.ClientTimeout(sock_read=0.05)
    async with fleet.session() as session:
        with pytest.raises(aiohttp.SocketTimeoutError) as raised:
            await session.post("http://orders.service_id.asab/", timeout=limits)
    (note,) = raised.value.__notes__
    assert note.startswith("POST of service_id='orders' failed at ")
    assert note.endswith("It isn't sent again: the instance may still process it.")
    assert any(str(each.port) in note for each in served)


async def test_an_answer_that_reaches_the_caller_as_it_is_is_explained_in_the_log(fleet, caplog):
    async def unavailable(request):
        raise web.HTTPServiceUnavailable

    await fleet.serve(unavailable)
    caplog.set_level(logging.DEBUG, "peerage.client")
    async with fleet.session() as session, session.post("http://orders.service_id.asab/") as response:
        assert response.status == 503
    assert "(status 503). It isn't sent again: the instance may have processed it." in caplog.text


async def test_a_name_that_lost_its_last_instance_is_not_reported_as_misspelled(fleet):
    served = await fleet.serve()
    async with fleet.session(options=CallOptions(wait=0.0)) as session:
        fleet.directory.remove(served.name)
        with pytest.raises(NotDiscoveredError, match=r"is left: the last one left 0\.\d s ago") as raised:
            await session.get("http://orders.service_id.asab/")
    assert "spelling" not in str(raised.value)
