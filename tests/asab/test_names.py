"""Migration: the import line, lazy modules, and what isn't here."""

import importlib.util
import subprocess
import sys

import pytest
from tests.asab.both import both, ours
from tests.interop.original import PYTHON

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
    """Importing peerage doesn't import the ASAB layer."""
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


#: What the documented programs name without importing its module.
DOCUMENTED = (
    *("web.Module", "web.WebContainer", "web.create_web_server"),
    *("web.rest.json_response", "web.rest.JsonExceptionMiddleware", "web.rest.json_schema_handler"),
    *("zookeeper.Module", "zookeeper.ZooKeeperContainer", "api.ApiService", "api.discovery.DiscoveryService"),
    *("api.discovery.DiscoveryResolver", "api.discovery.NotDiscoveredError", "abc.Service", "abc.Module"),
    *("contextvars.Request", "contextvars.Authz", "contextvars.Tenant", "contextvars.tenant_context"),
    "proactor.Module",
    *("web.auth.AuthService", "web.auth.Authorization", "web.auth.require", "web.auth.require_superuser"),
    *("web.auth.noauth", "abc.singleton.Singleton"),
    *("exceptions.NotAuthenticatedError", "exceptions.AccessDeniedError", "abc.Singleton"),
)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_names_of_modules(name):
    """Here by ``import peerage.asab as asab`` alone; there once something has loaded the module."""
    module = name.rpartition(".")[0]
    outcome = both(f"""
    load({module!r}) if asab.__name__ == "asab" else None
    say(asab.{name}.__class__.__name__ == "ContextVar" or callable(asab.{name}))
    """)
    assert outcome.lines == ["True"]


#: Of the original's own, not its users': named by nothing that is documented.
INTERNAL = {
    *("__version__", "api.doc", "api.doc_templates", "api.internal_auth", "api.log", "api.web_handler"),
    *("abc.module", "abc.service", "web.metrics", "web.webcrypto"),
}


def test_every_module_of_the_original_is_here_or_refused():
    """All its modules, and the modules of its packages abc, web, zookeeper and api."""
    (package,) = (PYTHON.parent.parent / "lib").glob("python3*/site-packages/asab")
    files = [*package.glob("*.py"), *package.glob("*/__init__.py")]
    for part in ("abc", "web", "zookeeper", "api"):
        files += [*package.glob(f"{part}/*.py"), *package.glob(f"{part}/*/__init__.py")]
    names = {
        ".".join(file.relative_to(package).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        for file in files
    } - {""}
    assert len(names) > 20
    here = names - INTERNAL - ABSENT
    assert [name for name in here if importlib.util.find_spec(f"peerage.asab.{name}") is None] == []


@pytest.mark.parametrize("name", sorted(ABSENT))
def test_what_isnt_here_says_what_to_do(name):
    """An ImportError that names the page about the real framework, whichever way it is asked for."""
    package, _, last = f"peerage.asab.{name}".rpartition(".")
    ways = [f"asab.{name}", f"from {package} import {last}"]
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


def test_nonsense_is_an_attribute_error():
    """As of any module."""
    with pytest.raises(AttributeError, match="nonsense"):
        peerage.asab.nonsense  # noqa: B018 - the access is under test
