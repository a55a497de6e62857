"""The modules of the site, which mkdocs loads by their paths."""

import importlib.util
from types import ModuleType

from tests.docs.pages import ROOT


def theme(name: str) -> ModuleType:
    """Load one of them."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "theme" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
