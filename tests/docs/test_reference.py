"""The API reference has every public name, and no other names."""

import re
from importlib import import_module
from operator import attrgetter

import pytest
from tests.docs.pages import pages, text_of

#: The modules whose public names users import.
MODULES = (
    "peerage",
    "peerage.auth",
    "peerage.integrations.asgi",
    "peerage.integrations.fastapi",
    "peerage.integrations.httpx",
    "peerage.sync",
    "peerage.telemetry",
    "peerage.testing",
    "peerage.testing.zookeeper",
    "peerage.web",
)

DIRECTIVES = {
    name
    for page in pages()
    if page.startswith("docs/reference/")
    for name in re.findall(r"^::: (\S+)$", text_of(page), re.MULTILINE)
}


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


@pytest.mark.parametrize("name", sorted(DIRECTIVES))
def test_a_name_of_the_reference_exists(name):
    """It can be imported from where the reference says."""
    assert found(name) is not None


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module):
    """The errors are there as a module."""
    errors = set(import_module("peerage.errors").__all__) if module == "peerage" else set()
    wanted = {f"{module}.{name}" for name in set(import_module(module).__all__) - errors}
    assert wanted - DIRECTIVES == set()
