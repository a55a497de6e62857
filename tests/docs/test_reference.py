"""The API reference has every public name."""

import re
from importlib import import_module
from operator import attrgetter

import pytest
from tests.docs.pages import pages, text_of

REFERENCE = "\n".join(text_of(page) for page in pages() if page.startswith("docs/reference/"))

#: What is shown; a module is shown with all its public names.
SHOWN = set(re.findall(r"^::: (\S+)$", REFERENCE, re.MULTILINE))

#: The modules whose public names users import.
MODULES = (
    "peerage",
    "peerage.auth",
    "peerage.errors",
    "peerage.integrations.asgi",
    "peerage.integrations.fastapi",
    "peerage.integrations.gunicorn",
    "peerage.integrations.httpx",
    "peerage.integrations.httpx2",
    "peerage.integrations.wsgi",
    "peerage.prometheus",
    "peerage.sync",
    "peerage.telemetry",
    "peerage.testing",
    "peerage.testing.zookeeper",
    "peerage.web",
)


def found(name: str) -> object:
    """Import what a name leads to."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            module = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        return attrgetter(".".join(parts[count:]))(module) if parts[count:] else module
    raise AssertionError(name)


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_a_name_of_the_reference_exists(name):
    """It can be imported from where the reference says."""
    assert found(name) is not None


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module):
    """One by one, or with the whole module."""
    names = set(import_module(module).__all__)
    if module == "peerage":
        names -= set(import_module("peerage.errors").__all__)
    assert module in SHOWN or {f"{module}.{name}" for name in names} <= SHOWN
