"""The row ``Application``: its command line."""

import pytest
from tests.asab.both import both, ours

READ = "app = asab.Application(args=sys.argv[1:])\n"
END = "\nos._exit(0)"


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("-v",),
        ("--verbose", "--syslog"),
        ("-s",),
        ("-w",),
        ("-w", "8081"),
        ("--web-api", "127.0.0.1:8081"),
        ("-l", "/dev/null"),
        ("--log-file=/dev/null",),
        ("-w", "-v"),
    ],
)
def test_options(args):
    """Their names, and their effect on the configuration."""
    both(
        READ
        + """
c = asab.Config
say(app.Args.verbose, app.Args.syslog, app.Args.log_file, app.Args.web_api, app.Args.config, app.Args.no_auth)
say(c.getboolean("logging", "verbose"), c.getboolean("logging:syslog", "enabled"), c["logging:file"]["path"])
say(c.get("web", "listen", fallback=None))
"""
        + END,
        *args,
    )


def test_no_auth():
    """``[auth] enabled`` is off."""
    outcome = both(
        READ + "say(app.Args.no_auth, asab.Config.getboolean('auth', 'enabled'))" + END, "--no-auth"
    )
    assert outcome.lines == ["True False"]


def test_startup_housekeeping():
    """Jobs of the night run once, after the start."""
    outcome = both(
        """
    class App(asab.Application):
        async def initialize(self):
            self.PubSub.subscribe("Application.housekeeping!", self.heard)
        def heard(self, message_type):
            say(message_type)
            self.stop()
    App(args=sys.argv[1:]).run()
    """,
        "--startup-housekeeping",
        "yes",
    )
    assert outcome.lines == ["Application.housekeeping!"]


@pytest.mark.parametrize("args", [("--nonsense",), ("-x",), ("file",), ("-c",)])
def test_unknown_arguments_are_errors(args):
    """Of exit code 2, with the usage."""
    outcome = both(READ + "say('never')", *args)
    assert outcome.code == 2
    assert outcome.log.startswith("usage:")


def test_help():
    """Has the description of the program."""
    outcome = ours(
        """
    class App(asab.Application):
        Description = "Does all of it."
    App()
    """,
        "--help",
    )
    assert outcome.code == 0
    assert "Does all of it." in outcome.out
    assert "--web-api" in outcome.out


def test_create_argument_parser_may_be_overridden():
    """For options of the program's own."""
    outcome = both(
        """
    class App(asab.Application):
        def create_argument_parser(self, *args, **kwargs):
            texts = {"prog": "mine", "description": "What it does.", "epilog": "The end."}
            parser = super().create_argument_parser(**texts)
            parser.add_argument("--more", default="none")
            say(parser.prog, parser.description, parser.epilog)
            return parser
        def parse_arguments(self, args=None):
            parsed = super().parse_arguments(args=args)
            asab.Config.add_defaults({"mine": {"more": parsed.more}})
            return parsed
    app = App()
    say(app.Args.more, app.Args.verbose, asab.Config["mine"]["more"])
    os._exit(0)
    """,
        "--more",
        "yes",
        "-v",
    )
    assert outcome.lines == ["mine What it does. The end.", "yes True yes"]


def test_parse_arguments_may_be_replaced():
    """By a parser of the program's own, which has none of the documented options."""
    outcome = both(
        """
    import argparse
    class App(asab.Application):
        def parse_arguments(self, args=None):
            parser = argparse.ArgumentParser()
            parser.add_argument("--more")
            return parser.parse_args(args)
    say(App().Args.more)
    os._exit(0)
    """,
        "--more",
        "yes",
    )
    assert outcome.lines == ["yes"]


def test_sys_argv_by_default():
    """An explicit list is taken instead."""
    both(
        """
    say(asab.Application().Args.verbose)
    asab.Singleton.delete(asab.Application)
    say(asab.Application(args=["-l", "/dev/null"]).Args.verbose)
    os._exit(0)
    """,
        "-v",
    )
