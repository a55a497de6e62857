"""Public names that are loaded on first use: importing a package costs nothing that isn't used."""

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any


def loader(
    package: str, names: dict[str, Any], home_of: Mapping[str, str], modules: Collection[str] = ()
) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: its name.
        names: its ``globals()``, which keep what was loaded.
        home_of: the module of the package in which each public name lives.
        modules: those of the package that are loaded when asked for as an attribute.
    """

    def load(name: str) -> Any:
        home = home_of.get(name)
        if name in modules:
            return import_module(f"{package}.{name}")
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = names[name] = getattr(import_module(f"{package}.{home}"), name)
        return value

    return load
