"""The row ``asab.Timer``."""

from tests.asab.both import both


def test_timer_goes_off_once():
    """And can be started again."""
    outcome = both("""
    class App(asab.Application):
        async def main(self):
            self.done = asyncio.Event()
            timer = asab.Timer(self, self.tick)
            say(timer.is_started(), timer.AutoRestart, timer.Task)
            for _ in range(2):
                timer.start(0.02)
                say(timer.is_started())
                await self.done.wait()
                self.done.clear()
                say(timer.is_started())
            self.stop()
        async def tick(self):
            say("tick")
            self.done.set()
    App(args=[]).run()
    """)
    assert outcome.lines.count("tick") == 2


def test_timer_that_restarts_itself():
    """Until it is stopped."""
    outcome = both("""
    class App(asab.Application):
        async def initialize(self):
            self.ticks = 0
            self.Timer = asab.Timer(self, self.tick, autorestart=True)
            self.Timer.start(0.02)
        async def tick(self):
            self.ticks += 1
            say("tick", self.Timer.is_started())
            if self.ticks == 3:
                self.Timer.stop()
                say(self.Timer.is_started())
                await asyncio.sleep(0.1)
                self.stop()
    App(args=[]).run()
    """)
    assert outcome.lines == ["tick True", "tick True", "tick True", "False"]


def test_timer_start_twice_and_restart():
    """start() refuses; restart() sets another time."""
    outcome = both("""
    class App(asab.Application):
        async def main(self):
            timer = asab.Timer(self, self.tick)
            timer.restart(100)
            try:
                timer.start(1)
            except RuntimeError:
                say("started already")
            timer.restart(0.01)
            await self.PubSub.message("ticked!")
            timer.stop(); timer.stop()
            self.stop()
        async def tick(self):
            self.PubSub.publish("ticked!")
    App(args=[]).run()
    say("over")
    """)
    assert outcome.lines == ["started already", "over"]


def test_timer_started_in_the_constructor():
    """It runs with the loop."""
    outcome = both("""
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            self.Timer = asab.Timer(self, self.tick)
            self.Timer.start(0.01)
        async def tick(self):
            say("tick")
            self.stop()
    App().run()
    """)
    assert outcome.lines == ["tick"]


def test_timers_stop_with_the_application():
    """On ``Application.stop!``; a handler under way continues."""
    outcome = both("""
    class App(asab.Application):
        async def main(self):
            self.timers = [asab.Timer(self, self.tick), asab.Timer(self, self.work)]
            self.timers[0].start(100); self.timers[1].start(0.01)
            await self.PubSub.message("working!")
            self.stop()
            say([timer.is_started() for timer in self.timers])
        async def tick(self):
            say("never")
        async def work(self):
            self.PubSub.publish("working!")
            await asyncio.to_thread(lambda: None)
            say("worked")
    App(args=[]).run()
    """)
    assert outcome.lines == ["[False, False]", "worked"]


def test_errors_of_the_handler_are_logged():
    """And the timer continues."""
    outcome = both("""
    class App(asab.Application):
        async def main(self):
            self.ticks = 0
            self.Timer = asab.Timer(self, self.tick, autorestart=True)
            self.Timer.start(0.01)
        async def tick(self):
            self.ticks += 1
            if self.ticks == 2:
                self.stop()
            raise LookupError("out of a handler")
    App(args=[]).run()
    """)
    assert outcome.code == 0
    assert outcome.log.count("LookupError: out of a handler") == 2
