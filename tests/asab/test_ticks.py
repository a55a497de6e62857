"""The application's ticks: part of the row ``app.PubSub``."""

from tests.asab.both import both, ours

TICKS = """
EVERY = ("", 10, 60, 300, 600, 1800, 3600)
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[])
        self.counts = dict.fromkeys(EVERY, 0)
        for every in EVERY:
            self.PubSub.subscribe(f"Application.tick/{every}!".replace("/!", "!"), self.tick)
    def tick(self, message_type, *args):
        assert not args
        every = message_type.removeprefix("Application.tick").strip("/!")
        self.counts[int(every) if every else ""] += 1
        if every == "3600":
            say(self.counts)
            os._exit(0)
"""


def test_ticks_in_cycles():
    """Each message once so many periods have passed, in this order."""
    outcome = both("asab.Config.add_defaults({'general': {'tick_period': 0}})\n" + TICKS + "\nApp().run()")
    assert outcome.lines == ["{'': 3600, 10: 360, 60: 60, 300: 12, 600: 6, 1800: 2, 3600: 1}"]


def test_rare_ticks():
    """Half a day and a day, counted without waiting for them."""
    outcome = ours("""
    from peerage.asab.lifecycle import tick
    async def main():
        over, heard = asyncio.Event(), []
        def publish(message):
            if message.endswith(("43200!", "86400!")):
                heard.append(message)
                if "86400" in message:
                    over.set()
        await tick(publish, 0, over.wait)
        say(heard)
    asyncio.run(main(), debug=False)
    """)
    assert outcome.lines == [
        "['Application.tick/43200!', 'Application.tick/43200!', 'Application.tick/86400!']"
    ], outcome.log


def test_tick_period():
    """In whole seconds as in the original, or as any duration."""
    outcome = ours("""
    asab.Config.add_defaults({"general": {"tick_period": "10ms"}})
    class App(asab.Application):
        async def main(self):
            began = time.monotonic()
            await self.PubSub.message("Application.tick!")
            say(time.monotonic() - began < 0.9)
            self.stop()
    App(args=[]).run()
    """)
    assert outcome.lines == ["True"], outcome.log


def test_a_failing_callback_of_a_tick_stops_nothing():
    """The next one comes."""
    outcome = both("""
    asab.Config.add_defaults({"general": {"tick_period": 0}})
    class App(asab.Application):
        async def initialize(self):
            self.ticks = 0
            self.PubSub.subscribe("Application.tick!", self.tick)
        def tick(self, message_type):
            self.ticks += 1
            if self.ticks == 3:
                say("third")
                os._exit(0)
            raise LookupError
    App(args=[]).run()
    """)
    assert outcome.lines == ["third"]
