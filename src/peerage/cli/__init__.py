"""The command line: ``peerage ls``, ``locate``, ``get``, ``doctor``, ``serve``, ``demo``."""

import sys
from importlib.util import find_spec

from peerage.cli.run import Exit

__all__ = ["main"]

#: What the extra ``peerage[cli]`` installs.
_EXTRA = ("typer", "rich")


def main() -> int:
    """Run the command that the arguments of this process name, and return its exit code."""
    for package in _EXTRA:
        if find_spec(package) is None:
            sys.stderr.write(
                f"peerage: The command line needs the package {package!r}: pip install 'peerage[cli]'\n"
            )
            return Exit.MISSING_EXTRA
    try:
        # The message about a missing package mustn't need the package.
        from peerage.cli.app import app  # noqa: PLC0415 - see above

        app()
    except KeyboardInterrupt:
        return 130
    return 0
