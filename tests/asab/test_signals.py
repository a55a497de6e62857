"""The row ``Application``: what a stop and signals do."""

import pytest
from tests.asab.both import both, ours, terminate


def test_stop_within_initialize_is_heeded():
    """main() runs, and then it ends; the original forgets it was stopped."""
    outcome = ours("""
    class App(asab.Application):
        async def initialize(self):
            self.stop(2)
        async def main(self):
            say("main")
    say(App(args=[]).run())
    """)
    assert outcome.lines == ["main", "2"], outcome.log


def test_stop_in_another_thread():
    """Heeded at once."""
    outcome = both("""
    class App(asab.Application):
        async def main(self):
            await asyncio.to_thread(self.stop, 3)
    say(App(args=[]).run())
    """)
    assert outcome.lines == ["3"]


def test_a_second_signal_interrupts_main():
    """The first signal stops, and after some seconds the log names what still runs."""
    program = """
    class App(asab.Application):
        async def main(self):
            self.PubSub.subscribe("Application.stop!", self.stopped)
            say("ready")
            await asyncio.Event().wait()
        def stopped(self, _, count):
            say("stop", count)
            if count == 1:
                self.Loop.call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
        async def finalize(self):
            say("finalize")
    say(App(args=[]).run())
    """
    outcome = ours(program, meanwhile=terminate)
    assert outcome.lines == ["ready", "stop 1", "stop 2", "finalize", "0"], outcome.log
    assert "main() was interrupted" in outcome.log


@pytest.mark.parametrize("late", [False, True])
def test_a_second_signal_interrupts_a_service(late):
    """One that waits in its initialize(); everything is finalized."""
    program = f"""
    class S(asab.Service):
        async def initialize(self, app):
            say("initialize", self.Name)
            if self.Name == "waiting":
                app.Loop.call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
                app.Loop.call_later(0.1, os.kill, os.getpid(), signal.SIGTERM)
                await asyncio.Event().wait()
        async def finalize(self, app):
            say("finalize", self.Name)
    class App(asab.Application):
        async def {"main" if late else "initialize"}(self):
            S(self, "next")
            S(self, "waiting")
    say(App(args=[]).run())
    """
    outcome = ours(program)
    expected = ["initialize waiting", "finalize next", "finalize waiting", "0"]
    assert outcome.seen == (0, expected), outcome.log
    assert "waiting.initialize() was interrupted" in outcome.log


def test_a_third_stop_ends_the_process():
    """In whatever state it is."""
    outcome = both("""
    class App(asab.Application):
        async def main(self):
            say("main")
            for _ in range(3):
                self.stop()
            say("never")
    App(args=[]).run()
    """)
    assert outcome.seen == (70, ["main"])


def test_sigint_stops_and_sighup_is_a_message():
    """Ctrl-C is an ordinary end."""

    def signals(process, _):
        process.send_signal(1)
        assert process.stdout.readline() == "Application.hup!\n"
        process.send_signal(2)

    outcome = both(
        """
    class App(asab.Application):
        async def main(self):
            self.PubSub.subscribe("Application.hup!", self.heard)
            say("ready")
        def heard(self, message):
            say(message)
    say(App(args=[]).run())
    """,
        meanwhile=signals,
    )
    assert outcome.lines == ["ready", "0"]


def test_the_first_signal_after_stop_interrupts_nothing():
    """A signal beside a stop() of the program doesn't interrupt."""
    outcome = both("""
    class App(asab.Application):
        async def main(self):
            self.PubSub.subscribe("Application.stop!", self.stopped)
            self.over = asyncio.Event()
            self.stop()
            os.kill(os.getpid(), signal.SIGTERM)
            await self.over.wait()
            await asyncio.sleep(0.01)
            say("main is over")
        def stopped(self, _, count):
            if count == 2:
                self.over.set()
    say(App(args=[]).run())
    """)
    assert outcome.lines == ["main is over", "0"]


def test_a_second_signal_leaves_finalize_alone():
    """What is written at the end is written."""
    outcome = both("""
    class App(asab.Application):
        async def main(self):
            os.kill(os.getpid(), signal.SIGTERM)
        async def finalize(self):
            stopped = asyncio.Event()
            self.heard = lambda *_: stopped.set()
            self.PubSub.subscribe("Application.stop!", self.heard)
            os.kill(os.getpid(), signal.SIGTERM)
            await stopped.wait()
            await asyncio.sleep(0.01)
            say("finalized")
    say(App(args=[]).run())
    """)
    assert outcome.lines == ["finalized", "0"]


def test_main_isnt_begun_after_an_interrupted_initialize():
    """It would look for what isn't there."""
    outcome = ours("""
    class App(asab.Application):
        async def initialize(self):
            os.kill(os.getpid(), signal.SIGTERM)
            self.PubSub.subscribe("Application.stop!", self.stopped)
            await asyncio.Event().wait()
        def stopped(self, _, count):
            say("stop", count)
            if count == 1:
                os.kill(os.getpid(), signal.SIGTERM)
        async def main(self):
            say("main")
        async def finalize(self):
            say("finalize")
    say(App(args=[]).run())
    """)
    assert outcome.seen == (0, ["stop 1", "stop 2", "finalize", "0"]), outcome.log
    assert "initialize() was interrupted" in outcome.log
