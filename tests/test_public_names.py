"""The public names and the exception tree."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import peerage
from peerage import errors

ROOT = Path(__file__).parent.parent

PUBLIC = {
    "AccessDeniedError",
    "Advert",
    "AttemptTrace",
    "CallCounts",
    "CallOptions",
    "CallTrace",
    "Changed",
    "Changes",
    "ConfigurationError",
    "DeadlineExceededError",
    "Discovery",
    "DiscoveryResolver",
    "Ejection",
    "Endpoint",
    "Health",
    "Identity",
    "Instance",
    "Joined",
    "KeysUnavailableError",
    "Left",
    "MissingExtraError",
    "NotDiscoveredError",
    "NotReadyError",
    "PeerEvent",
    "PeerageError",
    "RecordError",
    "Registration",
    "Registry",
    "RegistryClosedError",
    "RegistryDeniedError",
    "RegistryError",
    "TokenRefusedError",
    "UnreachableError",
    "call_options",
    "deadline",
    "open_registry",
    "read_identity",
    "trace_calls",
}

#: The names of the other public modules; those of the errors are in TREE, and tests/asab has peerage.asab.
MODULES = {
    "peerage.auth": (
        "FetchedKeys KeySource Principal PrivateKey PublicKey Reason SUPERUSER Verifier check_claims "
        "read_file"
    ),
    "peerage.balancing": (
        "Balancer CallCounts Ejection NOWHERE Observer Outcome Pick Place Probe RetryBudget Score Service "
        "Stats least_outstanding peak_ewma reported_load"
    ),
    "peerage.integrations.asgi": (
        "Discovered Gradient2 authorize caller discovered limit_concurrency noauth propagate "
        "refuse_misdirected report_load require require_superuser"
    ),
    "peerage.integrations.fastapi": (
        "Gradient2 authorized caller discovery limit_concurrency noauth propagate refuse_misdirected require "
        "require_superuser"
    ),
    "peerage.integrations.gunicorn": "post_worker_init",
    "peerage.integrations.httpx": "AsyncTransport InternalAuth Transport",
    "peerage.integrations.httpx2": "AsyncTransport InternalAuth Transport",
    "peerage.integrations.wsgi": (
        "Discovered Gradient2 authorize caller discovered limit_concurrency propagate require "
        "require_superuser"
    ),
    "peerage.serve": "View add_api add_page add_prometheus create_app",
    "peerage.sync": "Discovery Registration deadline",
    "peerage.telemetry": "AttemptTelemetry CallTelemetry OpenTelemetry RegistryTelemetry Telemetry",
    "peerage.testing": (
        "CAPABILITIES Harness IsolatedRegistry Participant Peer Peers RegistryConformance View "
        "VirtualClock begun eventually lifespan requires"
    ),
    "peerage.testing.zookeeper": "Ensemble Proxy ZooKeeperHarness ZooKeeperServer",
    "peerage.web": (
        "GracefulStop Gradient2 PRINCIPAL authorize caller drain_on_signals limit_concurrency noauth "
        "propagate refuse_misdirected report_load require require_superuser run_app serve_app"
    ),
}

#: Each error, the one of peerage above it, and what else it is.
TREE = {
    "PeerageError": ("Exception",),
    "ConfigurationError": ("PeerageError", "ValueError"),
    "RecordError": ("ConfigurationError",),
    "MissingExtraError": ("PeerageError", "ModuleNotFoundError"),
    "RegistryError": ("PeerageError",),
    "RegistryDeniedError": ("RegistryError",),
    "RegistryClosedError": ("RegistryError",),
    "NotReadyError": ("PeerageError", "TimeoutError"),
    "DeadlineExceededError": ("PeerageError", "TimeoutError"),
    "NotDiscoveredError": ("PeerageError", "RuntimeError"),
    "TokenRefusedError": ("PeerageError",),
    "AccessDeniedError": ("PeerageError", "PermissionError"),
    "KeysUnavailableError": ("PeerageError",),
    "UnreachableError": ("PeerageError", "ClientConnectorError"),
}

HEAVY = (
    "aiohttp",
    "asyncio",
    "asyncinotify",
    "joserfc",
    "kazoo",
    "peerage.auth",
    "peerage.client",
    "rich",
    "typer",
    "yarl",
)


def test_the_public_names_are_these():
    """A change of this list must be intended."""
    assert set(peerage.__all__) == PUBLIC
    assert sorted(PUBLIC) == sorted(peerage.__all__)
    assert set(dir(peerage)) == PUBLIC | {"__version__"}


@pytest.mark.parametrize("module", MODULES)
def test_the_names_of_a_module_are_these(module):
    """Each loads. A change of a list must be intended."""
    names = MODULES[module].split()
    loaded = import_module(module)
    assert sorted(loaded.__all__) == sorted(names)
    assert all(hasattr(loaded, name) for name in names)


def test_every_integration_of_the_reference_is_listed():
    """The API reference shows the public ones; the other modules are for peerage alone."""
    reference = (ROOT / "docs/reference/integrations.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: (peerage\.integrations\.\w+)$", reference, re.MULTILINE))
    assert len(shown) > 4
    assert shown <= {*MODULES}


def test_entry_points_are_these():
    """The command, the pytest plugin, and the registries; what each names is there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = {"console_scripts": project["scripts"], **project["entry-points"]}
    assert {group: {*names} for group, names in points.items()} == {
        "console_scripts": {"peerage"},
        "pytest11": {"peerage"},
        "peerage.registries": {"embedded", "memory", "zookeeper", "zookeeper+tls"},
    }
    for names in points.values():
        assert all(EntryPoint("", value, "").load() for value in names.values())


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_name_loads(name):
    """A name is loaded from its module at the first access and kept."""
    assert getattr(peerage, name) is getattr(peerage, name)
    assert name in vars(peerage)


def test_another_name_is_an_attribute_error():
    """A module without the name raises it as well."""
    with pytest.raises(AttributeError, match="nonsense"):
        peerage.nonsense  # noqa: B018 - the access is under test


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after *statement*."""
    program = f"{statement}; import sys; print(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout.split()
    )


def test_importing_peerage_loads_nothing_heavy():
    """Even the modules that every use needs are loaded later."""
    assert not loaded_by("import peerage") & set(HEAVY)


@pytest.mark.parametrize(
    "statement",
    [
        "from peerage import Discovery",
        "from peerage import Discovery; Discovery('memory:')",
        "import peerage.testing",
    ],
)
def test_who_doesnt_call_loads_no_http_client(statement):
    """Advertising and finding need asyncio only."""
    loaded = loaded_by(statement)
    assert not loaded & (set(HEAVY) - {"asyncio"})


def test_the_exception_tree_is_this():
    """Each error has exactly these bases, so that a standard exception catches it."""
    assert {*errors.__all__, "UnreachableError"} == set(TREE)
    for name, bases in TREE.items():
        assert tuple(base.__name__ for base in getattr(peerage, name).__bases__) == bases


def test_the_exception_tree_is_drawn():
    """The docstring of errors.py shows each error below its base, with its other base."""
    path, drawn = [], {}
    for line in str(errors.__doc__).splitlines():
        found = re.match(
            r"( {4}[ │]*(?:[├└]── )?)(\w+Error|RegistryDeniedError)\b *(?:\((?:\w+\.)*(\w+)\))?", line
        )
        if found:
            depth = (len(found[1]) - 4) // 4
            path[depth:] = [found[2]]
            above = path[depth - 1] if depth else "Exception"
            drawn[found[2]] = (above, found[3]) if found[3] else (above,)
    assert drawn == TREE
