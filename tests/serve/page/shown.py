"""What the page shows, read from it, and what it ought to show of the rows of ``peerage ls --json``."""

import json
from typing import TYPE_CHECKING, Any

from tests.serve.browser import expect
from tests.serve.conftest import World

from peerage.cli.text import clean
from peerage.testing.waiting import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

#: The columns whose texts are the same for a row, whenever they are looked at.
COLUMNS = ("state", "instance", "node", "version", "addresses", "ids")

Texts = dict[str, str]

# Pairs, not objects: the name of a record may be __proto__. As JSON, because Playwright takes seconds for the
# values of 2,000 rows.
_READ = """columns => JSON.stringify([...document.querySelectorAll("tr[data-name]")]
    .filter(line => line.checkVisibility())
    .map(line => [line.dataset.name, [
        ["service", line.closest("tbody").querySelector("[data-service]").dataset.service],
        ...columns.map(name => [name, line.querySelector(`td[data-column=${name}]`).textContent]),
    ]]))"""


async def shown(page: "Page") -> dict[str, Texts]:
    """Return the texts of the rows that are visible, by the names of their records, in their order."""
    return {name: dict(texts) for name, texts in json.loads(await page.evaluate(_READ, COLUMNS))}


async def instances(page: "Page") -> list[str]:
    """Return the instances that are visible, in their order."""
    return [texts["instance"] for texts in (await shown(page)).values()]


async def states(page: "Page") -> Texts:
    """Return the state of each instance that is visible."""
    return {texts["instance"]: texts["state"] for texts in (await shown(page)).values()}


async def until_instances(page: "Page", wanted: list[str]) -> None:
    """Wait until these instances are visible, in this order, and no others."""
    await eventually(lambda: instances(page), "what the page shows", wanted=lambda found: found == wanted)


async def until_states(page: "Page", wanted: Texts) -> None:
    """Wait until these instances are visible, with these states, and no others."""
    await eventually(lambda: states(page), "what the page shows", wanted=lambda found: found == wanted)


async def until_as_listed(world: World, page: "Page") -> list[dict[str, Any]]:
    """Wait until the page shows each row of ``peerage ls --json`` and no other; return those rows."""
    entries = await world.listed()
    wanted = {entry["name"]: texts_of(entry) for entry in entries}
    # Asked for seldom, because what is read below delays a page with many rows.
    await expect(page.locator("tr[data-name]")).to_have_count(len(wanted))

    async def differing() -> dict[str, tuple[Texts | None, Texts | None]]:
        found = await shown(page)
        names = {**wanted, **found}
        return {
            name: (wanted.get(name), found.get(name)) for name in names if wanted.get(name) != found.get(name)
        }

    await eventually(differing, "that the page shows what is listed", wanted=lambda found: not found)
    return entries


def texts_of(entry: dict[str, Any]) -> Texts:
    """Return what the page shows of a row of ``peerage ls --json``."""
    node, host = entry["node"], entry["host"]
    marks = ", superseded" * entry["superseded"] + ", unconfirmed" * entry["unconfirmed"]
    ids = [(key, value) for key, values in entry["ids"].items() for value in values]
    if entry["site"] is not None:
        ids.insert(0, ("site_id", entry["site"]))
    return {
        "service": entry["service"] or "",
        "state": short(entry["state"]) + marks,
        "instance": short(entry["instance"] or entry["name"]),
        "node": f"{short(node)} ({short(host)})"
        if node and host and node != host
        else short(node or host or ""),
        "version": short(entry["version"] or ""),
        "addresses": " ".join(map(short, entry["urls"])),
        "ids": " ".join(f"{short(key)}={short(value)}" for key, value in ids),
    }


def short(text: Any) -> str:
    """Return the first 300 characters of a text, with those that can't be seen spelled out."""
    # JavaScript counts characters beyond the first 65,536 twice, and no test cuts one of these.
    text = str(text)
    return clean(text if len(text) <= 300 else f"{text[:299]}…")
