"""The options of the command line that every application has."""

import argparse
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from peerage.asab.config import Configuration

__all__ = ["apply_options", "make_parser"]

#: The value of ``-w`` if none is given.
_LISTEN: Final = "0.0.0.0:8080"


def make_parser(**kwargs: Any) -> argparse.ArgumentParser:
    """Return a parser of the options that every application has; *kwargs* are passed to it."""
    parser = argparse.ArgumentParser(
        **{
            "formatter_class": argparse.RawDescriptionHelpFormatter,
            "prefix_chars": "-",
            "conflict_handler": "error",
            **kwargs,
        }
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="read this configuration file")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log everything, debug messages included"
    )
    parser.add_argument("-s", "--syslog", action="store_true", help="log to syslog as well")
    parser.add_argument("-l", "--log-file", metavar="FILE", help="log to this file as well")
    parser.add_argument(
        *("-w", "--web-api"),
        metavar="LISTEN",
        nargs="?",
        const=_LISTEN,
        help=f"listen here, as in [web] listen; {_LISTEN} if nothing is given",
    )
    parser.add_argument(
        "--startup-housekeeping",
        nargs="?",
        const="yes",
        help="publish Application.housekeeping! once, when the application runs",
    )
    parser.add_argument(
        "--no-auth", action="store_true", help="[auth] enabled=no: neither authentication nor authorization"
    )
    return parser


def apply_options(config: "Configuration", args: argparse.Namespace) -> None:
    """Make the given options defaults of the configuration; a configuration file still wins."""
    wanted = (
        ("general", "config_file", args.config),
        ("logging", "verbose", "yes" if args.verbose else None),
        ("logging:syslog", "enabled", "yes" if args.syslog else None),
        ("logging:file", "path", args.log_file),
        ("web", "listen", args.web_api),
        ("auth", "enabled", "no" if args.no_auth else None),
        ("housekeeping", "run_at_startup", "yes" if args.startup_housekeeping else None),
    )
    for section, option, value in wanted:
        if value:
            config.preset(section, option, value)
