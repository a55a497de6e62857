"""The rows ``Module``, ``Service``: registration, failures, and the phases of parts of this layer."""

import pytest
from tests.asab.both import both, ours


def test_two_services_of_one_name():
    """A RuntimeError; the first stays."""
    outcome = both("""
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            self.first = asab.Service(self, "mine")
            try:
                asab.Service(self, "mine")
            except RuntimeError as error:
                say("RuntimeError")
                print(error, file=sys.stderr)
            say(self.get_service("mine") is self.first)
    App()
    os._exit(0)
    """)
    assert outcome.lines == ["RuntimeError", "True"]
    assert "There is a service 'mine' already: give this one another name" in outcome.log


def test_a_failing_service_costs_itself_alone():
    """Its traceback is logged, the application continues, and the service is finalized like the others."""
    outcome = both("""
    class S(asab.Service):
        async def initialize(self, app):
            say("initialize", self.Name)
            if self.Name == "bad":
                raise LookupError("out of a service")
        async def finalize(self, app):
            say("finalize", self.Name)
            if self.Name == "bad":
                raise LookupError("out of its end")
    class M(asab.Module):
        async def initialize(self, app):
            raise LookupError("out of a module")
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[], modules=[M])
            for name in ("first", "bad", "last"):
                S(self, name)
        async def main(self):
            say("main")
            self.stop()
    App().run()
    """)
    assert outcome.lines[:4] == ["initialize last", "initialize bad", "initialize first", "main"]
    for what in ("service", "its end", "module"):
        assert f"LookupError: out of {what}" in outcome.log.replace("out of a ", "out of ")


def test_services_finalize_at_the_same_time():
    """Modules after them."""
    outcome = both("""
    quick = asyncio.Event()
    class S(asab.Service):
        async def finalize(self, app):
            say("finalize", self.Name)
            await (quick.wait() if self.Name == "slow" else asyncio.to_thread(lambda: None))
            say("finalized", self.Name)
            quick.set()
    class M(asab.Module):
        async def finalize(self, app):
            say("finalize module")
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[], modules=[M])
            S(self, "slow")
            S(self, "quick")
        async def main(self):
            self.stop()
    App().run()
    """)
    assert outcome.lines[2:] == ["finalized quick", "finalized slow", "finalize module"]


def test_initialize_runs_beside_a_service_that_waits():
    """The application's own initialize() starts once the first service waits."""
    outcome = both("""
    class S(asab.Service):
        async def initialize(self, app):
            say("wait")
            await app.PubSub.message("go!")
            say("went")
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            S(self, "waiting")
        async def initialize(self):
            say("initialize")
            self.PubSub.publish("go!")
        async def main(self):
            say("main")
            self.stop()
    App().run()
    """)
    assert outcome.lines == ["wait", "initialize", "went", "main"]


def test_a_service_needs_no_base_class():
    """``_register_service`` accepts any object with the name and the coroutines, as in asab."""
    outcome = both("""
    class Anything:
        Name = "anything"
        async def initialize(self, app): say("initialize")
        async def finalize(self, app): say("finalize")
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            self._register_service(Anything())
        async def main(self):
            self.stop()
    App().run()
    """)
    assert outcome.lines == ["initialize", "finalize"]


#: Services with phases set explicitly, made in the wrong order.
FLOORS = """
from peerage.asab.parts import Phase, Part
class S(asab.Service):
    def __init__(self, app, phase):
        self.peerage_phase = phase
        super().__init__(app, phase.name)
    async def initialize(self, app): say("initialize", self.Name)
    async def drain(self, app): say("drain", self.Name)
    async def finalize(self, app): say("finalize", self.Name)
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[])
        for phase in (Phase.WEB, Phase.USER, Phase.API, Phase.ZOOKEEPER, Phase.DISCOVERY):
            S(self, phase)
    async def initialize(self): say("initialize")
    async def main(self):
        say("main")
        self.stop()
    async def finalize(self): say("finalize")
"""


def test_phases():
    """Parts of this layer start before services and end after them, in whatever order they were made."""
    outcome = ours(FLOORS + "App().run()")
    assert outcome.lines == [
        "initialize ZOOKEEPER",
        "initialize DISCOVERY",
        "initialize API",
        "initialize USER",
        "initialize",
        "initialize WEB",
        "main",
        "drain API",
        "drain DISCOVERY",
        "drain ZOOKEEPER",
        "drain WEB",
        "finalize",
        "finalize WEB",
        "finalize USER",
        "finalize API",
        "finalize DISCOVERY",
        "finalize ZOOKEEPER",
    ], outcome.log


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("error", "said", "traceback"),
    [
        (
            "peerage.ConfigurationError('the port is in use')",
            "DISCOVERY can't start: the port is in use",
            False,
        ),
        ("LookupError('a defect')", "LookupError: a defect", True),
    ],
)
def test_a_part_of_this_layer_that_cannot_start_ends_the_application(error, said, traceback, late):
    """The exit code is 1, everything is finalized in order, and the log has the reason."""
    outcome = ours(f"""
    import peerage
    from peerage.asab.parts import Phase
    class S(asab.Service):
        peerage_phase = Phase.DISCOVERY
        async def initialize(self, app): raise {error}
        async def finalize(self, app): say("finalize", self.Name)
    class User(asab.Service):
        async def finalize(self, app): say("finalize", self.Name)
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            User(self, "user's")
            if not {late}: S(self, "DISCOVERY")
        async def initialize(self): say("initialize")
        async def main(self):
            S(self, "DISCOVERY")
            await asyncio.Event().wait()
    App().run()
    """)
    began = ["initialize"] if late else []
    assert outcome.seen == (1, [*began, "finalize user's", "finalize DISCOVERY"]), outcome.log
    assert said in outcome.log
    assert ("Traceback" in outcome.log) == traceback


def test_a_service_that_waits_holds_up_nothing_of_ours():
    """Discovery made later is initialized, though a service waits for it."""
    outcome = ours("""
    from peerage.asab.parts import Phase
    class S(asab.Service):
        peerage_phase = Phase.DISCOVERY
        async def initialize(self, app):
            say("discovery")
            app.PubSub.publish("there!")
    class Waiting(asab.Service):
        async def initialize(self, app):
            say("waiting")
            await app.PubSub.message("there!")
            say("served")
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            Waiting(self, "waiting")
        async def initialize(self):
            S(self, "discovery")
        async def main(self):
            self.stop()
    App().run()
    """)
    assert outcome.lines == ["waiting", "discovery", "served"], outcome.log


def test_what_still_runs_after_a_stop_is_logged():
    """Once, some seconds after the stop."""
    outcome = ours("""
    from peerage.asab import lifecycle
    lifecycle.REPORT_AFTER = 0.05
    class S(asab.Service):
        async def finalize(self, app):
            await asyncio.sleep(0.2)
    class App(asab.Application):
        async def main(self):
            S(self, "slow")
            self.stop()
            await asyncio.sleep(0.2)
    App(args=[]).run()
    """)
    assert outcome.code == 0
    assert outcome.log.count("Stopping waits for main().") == 1


def test_a_service_that_waits_for_what_it_has_cancelled():
    """It fails as with any exception, and the others run; in the original run() ends immediately."""
    outcome = ours("""
    async def cancel():
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task
    class S(asab.Service):
        async def initialize(self, app):
            say("initialize", self.Name)
            if self.Name == "bad": await cancel()
        async def finalize(self, app):
            if self.Name == "bad": await cancel()
            say("finalize", self.Name)
    class M(asab.Module):
        async def finalize(self, app): say("finalize module")
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[], modules=[M])
            S(self, "good")
            S(self, "bad")
        async def main(self):
            say("main")
            self.stop()
        async def finalize(self):
            await asyncio.sleep(0)
            say("finalize")
    say(App().run())
    """)
    assert outcome.lines[:3] == ["initialize bad", "initialize good", "main"], outcome.log
    assert sorted(outcome.lines[3:-1]) == ["finalize", "finalize good", "finalize module"], outcome.log
    assert outcome.lines[-1] == "0"
    assert "bad.initialize() failed" in outcome.log
    assert "bad.finalize() failed" in outcome.log


def test_a_part_of_ours_that_waits_for_what_it_has_cancelled():
    """Ends the application as any other failure of it does."""
    outcome = ours("""
    from peerage.asab.parts import Phase
    class S(asab.Service):
        peerage_phase = Phase.DISCOVERY
        async def initialize(self, app):
            raise asyncio.CancelledError
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            S(self, "DISCOVERY")
        async def finalize(self): say("finalize")
    App().run()
    """)
    assert outcome.seen == (1, ["finalize"]), outcome.log
    assert "DISCOVERY can't start" in outcome.log
