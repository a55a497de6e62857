"""Records are untrusted text: whatever they contain is shown, and nothing of it is done.

That nothing is done is asserted by the fixture ``open_page`` at the end: no dialog, no error, no request to
another origin, nothing that the Content-Security-Policy forbade.
"""

import json

import pytest
from tests.serve.browser import expect
from tests.serve.page.shown import until_as_listed, until_instances

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session")]

MARKUP = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    "<style>*{display:none}</style>",
    "</td></tr></table><iframe src=//evil.example>",
    "${alert(1)}{{constructor.constructor('alert(1)')()}}",
]
ODD = [
    "\u202egnp.exe",
    "zero\u200bwidth",
    "NUL \x00 and \x1b[31m",
    "\ud800 lone",
    "lone \udfff",
    "two\nlines\u2028three",
    "e\u0301\u0301\u0301" * 30,
    "名前 имя 🦀",
    "A" * 3000,
]
KEYS = ["__proto__", "constructor", "toString", "hasOwnProperty", "name", "then", "length"]


async def test_texts_are_shown_as_texts(world, open_page):
    for text in [*MARKUP, *ODD, *KEYS]:
        await world.advertise(
            service_id=text,
            instance_id=text,
            node_id=text,
            appclass=text,
            version=text,
            launch_time=text,
            peerage={"state": text},
            discovery={text: [text, 1]},
            attention_required={text: {"message": text}},
        )
    page = await open_page(world.page)
    await until_as_listed(world, page)
    # The same again in the panel, and in the filter and the address.
    for line in await page.locator("tr[data-name] td[data-column='instance']").all():
        await line.click()
        await expect(page.locator("#record")).to_be_visible()
        await page.keyboard.press("Escape")
    for text in [*MARKUP, *KEYS, *ODD[:4]]:
        await page.get_by_role("searchbox", name="Filter").fill(text)
    await page.reload()
    await expect(page.get_by_role("searchbox", name="Filter")).to_be_visible()


async def test_fields_of_any_type_are_shown(world, open_page):
    for number, value in enumerate([None, True, 0, -1e308, "", [], {}, [[["x"]]], {"a": {"b": [None]}}]):
        await world.advertise(
            instance_id=f"odd-{number}",
            version=value,
            launch_time=value,
            attention_required=value,
            peerage={"state": value},
            appclass=value,
            discovery={"id": value},
        )
    deep = json.loads("[" * 900 + "]" * 900)
    await world.advertise(instance_id="odd-deep", attention_required=deep)
    await world.advertise(instance_id="odd-wide", attention_required={str(each): each for each in range(500)})
    await world.advertise(instance_id="odd-times", launch_time="2026-99-99T99:99:99Z", version="9" * 400)
    await world.advertise(b'{"version": NaN, "instance_id": "odd-nan", "host": "h"}')
    page = await open_page(world.page)
    await until_instances(
        page, [*(f"odd-{n}" for n in range(9)), "odd-deep", "odd-times", "odd-wide", "odd-nan"]
    )


async def test_an_address_made_by_others_does_nothing(world, open_page):
    await world.advertise(instance_id="shop-1")
    page = await open_page(world.page)
    for fragment in [
        *("filter=<img src=x onerror=alert(1)>", "record=../../etc/passwd", "record=//evil.example/"),
        *("record=%E0%A4%A", "state=<script>", "filter=%00&at=x", "__proto__=1&constructor=2", "%", "at=="),
    ]:
        await page.goto(f"{world.page}#{fragment}")
        await page.reload()
        await page.get_by_role("searchbox", name="Filter").fill("")
        await expect(page.locator("tr[data-name]")).to_have_count(1)
