"""The row ``Application``: construction, order, exit codes, errors, signals, attributes."""

import pytest
from tests.asab.both import both, ours, terminate

ORDER = """
class S(asab.Service):
    async def initialize(self, app):
        say("initialize", self.Name)
    async def finalize(self, app):
        say("finalize", self.Name)
class M(asab.Module):
    def __init__(self, app):
        super().__init__(app)
        S(app, type(self).__name__ + "'s service")
    async def initialize(self, app):
        say("initialize module", type(self).__name__)
    async def finalize(self, app):
        say("finalize module", type(self).__name__)
class M2(M):
    pass
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[M])
        for message in ("init!", "run!", "stop!", "exit!"):
            self.PubSub.subscribe("Application." + message, self.heard)
        S(self, "one")
        self.add_module(M2)
        S(self, "two")
    def heard(self, message, *args):
        say(message, *args)
    async def initialize(self):
        say("initialize")
    async def main(self):
        say("main")
        self.stop()
        say("after stop")
    async def finalize(self):
        say("finalize")
        await asyncio.sleep(0)
        say("finalized")
"""


def test_order():
    """Modules before services, the last made first; the end in the order of making; messages between."""
    outcome = both(ORDER + "say(App().run())")
    assert outcome.lines[0] == "Application.init!"
    assert outcome.lines[-1] == "0"


def test_documented_program_ends_with_a_bare_run():
    """The exit code of the process is 0 unless the program passes on what run() returns."""
    program = """
    class App(asab.Application):
        async def main(self):
            say("Hello")
            self.stop(5)
    if __name__ == "__main__":
        app = App()
        app.run()
    """
    assert both(program).seen == (0, ["Hello"])


@pytest.mark.parametrize("how", ["self.stop()", "self.stop(0)", "self.stop(3)", "self.stop(exit_code=4)"])
def test_run_returns_the_code_given_to_stop(how):
    """And 0 if there was none."""
    both(f"""
    class App(asab.Application):
        async def main(self):
            {how}
    sys.exit(App(args=[]).run())
    """)


def test_exit_codes_only_rise():
    """The worst of several stops counts."""
    outcome = both("""
    class App(asab.Application):
        async def main(self):
            self.set_exit_code(7)
            self.set_exit_code(2)
            self.stop(5)
            say(self.ExitCode)
            self.set_exit_code(1, force=True)
    say(App(args=[]).run())
    """)
    assert outcome.lines == ["7", "1"]


def test_main_returning_does_not_end_it():
    """It serves until a signal."""
    program = """
    class App(asab.Application):
        async def main(self):
            say("main is over")
        async def finalize(self):
            say("finalize")
    say(App(args=[]).run())
    """
    outcome = both(program, meanwhile=terminate)
    assert outcome.lines == ["main is over", "finalize", "0"]


def test_main_is_waited_for_after_stop():
    """What main() still does, it does to the end."""
    outcome = both("""
    class App(asab.Application):
        async def main(self):
            self.stop()
            await asyncio.to_thread(lambda: None)
            say("main is over")
        async def finalize(self):
            say("finalize")
    App(args=[]).run()
    """)
    assert outcome.lines == ["main is over", "finalize"]


def test_singleton():
    """The same instance each time; delete() forgets it."""
    outcome = both("""
    class App(asab.Application):
        pass
    first = App(args=[])
    say(App(args=[]) is first, asab.Application(args=[]) is first)
    asab.Singleton.delete(App)
    say(App(args=[]) is first)
    try:
        asab.Singleton.delete(int)
    except KeyError:
        say("there is none")
    os._exit(0)
    """)
    assert outcome.lines == ["True False", "False", "there is none"]


def test_get_service_works_on_the_next_line():
    """Constructors register at once; what isn't there is None."""
    outcome = both("""
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            say(self.get_service("mine"))
            service = asab.Service(self, "mine")
            say(self.get_service("mine") is service, self.Services["mine"] is service)
            say(service.Name, service.App is self)
    App()
    os._exit(0)
    """)
    assert outcome.lines == ["None", "True True", "mine True"]


def test_add_module_twice_is_a_no_op():
    """One of each class."""
    outcome = both("""
    class M(asab.Module):
        def __init__(self, app):
            super().__init__(app)
            say("made")
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[], modules=[M])
            self.add_module(M)
            say([type(module).__name__ for module in self.Modules])
    App()
    os._exit(0)
    """)
    assert outcome.lines == ["made", "['M']"]


def test_attributes():
    """What a program finds on its application."""
    outcome = both(
        """
    class App(asab.Application):
        async def main(self):
            say(self.Loop is asyncio.get_running_loop(), asyncio.get_event_loop() is self.Loop)
            say(self.HostName, os.environ["HOSTNAME"])
            say(isinstance(self.LaunchTime, float), abs(self.time() - time.time()) < 1)
            say(type(self.PubSub).__name__, type(self.TaskService).__name__, self.Modules)
            say(self.get_service("asab.TaskService") is self.TaskService)
            say(self.Args.verbose, self.Args.config, self.ExitCode)
            self.stop()
    App(args=[]).run()
    """,
        ASAB_HOSTNAME="somewhere",
    )
    assert outcome.lines[1] == "somewhere somewhere"


def test_the_host_name_is_the_machines_by_default():
    """As the machine reports it."""
    both("import platform; say(asab.Application(args=[]).HostName == platform.node()); os._exit(0)")


def test_the_event_loop_of_the_program_is_taken():
    """Tasks that the program has made on it run."""
    outcome = both("""
    mine = asyncio.new_event_loop()
    asyncio.set_event_loop(mine)
    async def work():
        say("worked")
    task = mine.create_task(work())
    class App(asab.Application):
        async def main(self):
            await task
            self.stop()
    app = App(args=[])
    say(app.Loop is mine)
    app.run()
    """)
    assert outcome.seen == (0, ["True", "worked"]), outcome.log


@pytest.mark.parametrize("before", ["", "loop.close()", "asyncio.set_event_loop(None); loop.close()"])
def test_an_event_loop_is_made_where_none_can_be_used(before):
    """None was set, it is closed, or it was taken away; no Python warns."""
    outcome = ours(f"""
    if {before!r}:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        {before or "pass"}
    app = asab.Application(args=[])
    say(app.Loop.is_closed(), asyncio.get_event_loop() is app.Loop)
    app.Loop.close()
    """)
    assert outcome.seen == (0, ["False True"]), outcome.log


def test_services_made_while_it_runs_are_initialized():
    """In initialize() or later; within a tick."""
    outcome = both("""
    class S(asab.Service):
        async def initialize(self, app):
            say("initialize", self.Name)
            if self.Name == "second":
                app.stop()
        async def finalize(self, app):
            say("finalize", self.Name)
    class App(asab.Application):
        async def initialize(self):
            S(self, "first")
        async def main(self):
            S(self, "second")
    App(args=[]).run()
    """)
    assert outcome.lines == ["initialize first", "initialize second", "finalize first", "finalize second"]


def test_modules_added_while_it_runs_are_initialized():
    """With the services they bring."""
    outcome = both("""
    class S(asab.Service):
        async def initialize(self, app):
            say("initialize service")
            app.stop()
    class M(asab.Module):
        def __init__(self, app):
            super().__init__(app)
            self.service = S(app, "of the module")
        async def initialize(self, app):
            say("initialize module")
    class App(asab.Application):
        async def main(self):
            self.add_module(M)
            self.add_module(M)
    App(args=[]).run()
    """)
    assert outcome.lines == ["initialize module", "initialize service"]
