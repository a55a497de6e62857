"""Migration: the import line, lazy modules, and what isn't here."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.asab.both import both, ours

import peerage.asab
from peerage.asab.absent import ABSENT

NAMES = (
    *("Application", "Config", "Configurable", "ConfigObject", "LOG_NOTICE", "Module", "PubSub", "Service"),
    *("Singleton", "Subscriber", "Timer", "subscribe"),
)


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after *statement*."""
    program = f"{statement}; import sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(found.stdout.split())


def test_peerage_doesnt_load_it():
    """It is for those who ask for it."""
    assert not [name for name in loaded_by("import peerage, peerage.discovery") if "peerage.asab" in name]


@pytest.mark.parametrize("statement", ["import peerage.asab", "from peerage.asab import LOG_NOTICE"])
def test_importing_it_loads_next_to_nothing(statement):
    """Neither a configuration parser nor an HTTP server."""
    assert not loaded_by(statement) & {"configparser", "aiohttp", "asyncio", "argparse", "kazoo"}


def test_an_application_loads_no_web_server():
    """Programs without a web container exist."""
    assert not loaded_by("import peerage.asab as asab; asab.Application") & {"aiohttp", "kazoo"}


@pytest.mark.parametrize("name", NAMES)
def test_each_documented_name_is_there(name):
    """As an attribute and by ``from … import``."""
    outcome = both(f"""
    import importlib
    package = asab.__name__
    exec(f"from {{package}} import {name}")
    say(eval("{name}") is asab.{name})
    """)
    assert outcome.lines == ["True"]


def test_names_are_listed():
    """dir() and * are as complete as documentation."""
    assert set(peerage.asab.__all__) == set(dir(peerage.asab))
    assert set(NAMES) < set(peerage.asab.__all__)
    for name in peerage.asab.__all__:
        assert getattr(peerage.asab, name) is not None


def test_modules_load_as_attributes():
    """The documented programs import ``asab`` only; the original has these once something has loaded them."""
    outcome = both("""
    load("exceptions", "contextvars") if asab.__name__ == "asab" else None
    say(asab.contextvars.Tenant.name, asab.exceptions.NotAuthenticatedError.status_code)
    say(asab.utils.convert_to_seconds("2m"), asab.log.LOG_NOTICE, asab.config.Config is asab.Config)
    """)
    assert outcome.lines == ["Tenant 401", "120.0 25 True"]


@pytest.mark.parametrize("name", sorted(ABSENT))
def test_what_isnt_here_says_what_to_do(name):
    """An ImportError that names the section about the real framework, whichever way it is asked for."""
    ways = [f"asab.{name}", f"from peerage.asab import {name}"]
    if name.islower():
        ways += [f"import peerage.asab.{name}", f"import peerage.asab.{name}.anything"]
    program = "\n".join(
        f"try:\n    {way}\nexcept ImportError as error:\n    say(error, error.name)" for way in ways
    )
    outcome = ours(program)
    assert len(outcome.lines) == len(ways), outcome.log
    for line in outcome.lines:
        assert line.startswith(f"peerage.asab has no {name!r}")
        assert "see docs/asab-inside.md" in line
        assert line.endswith(f" peerage.asab.{name}")


def test_every_module_that_isnt_here_is_known():
    """A file that refuses for each, and none for a name."""
    folder = Path(peerage.asab.__file__).parent
    refusing = {path.stem for path in folder.glob("*.py") if "\nrefuse(" in path.read_text()}
    assert refusing == {name for name in ABSENT if name.islower()}


def test_nonsense_is_an_attribute_error():
    """As of any module."""
    with pytest.raises(AttributeError, match="nonsense"):
        peerage.asab.nonsense  # noqa: B018 - the access is under test
