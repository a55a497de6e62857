"""The row ``app.PubSub``: subscriptions, deliveries, subscribers."""

from tests.asab.both import both, ours

#: An application whose main() is what follows, indented by four.
APP = """
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[])
    async def main(self):
        await program(self, self.PubSub)
        self.stop()
async def program(app, pubsub):
"""
RUN = "\nApp().run()\n"


def test_subscribe_gives_the_type_first():
    """Then what was published; functions, methods, coroutines, in the order of subscription."""
    outcome = both(
        """
class Listener:
    def __init__(self):
        self.done = asyncio.Event()
    def method(self, message_type, *args, **kwargs):
        say("method", message_type, args, kwargs)
    async def coroutine(self, message_type, *args, **kwargs):
        say("coroutine", message_type, args, kwargs)
        self.done.set()
def function(message_type, *args, **kwargs):
    say("function", message_type, args, kwargs)
"""
        + APP
        + """
    listener = Listener()
    pubsub.subscribe("a!", listener.method)
    pubsub.subscribe("a!", listener.coroutine)
    pubsub.subscribe("a!", function)
    pubsub.subscribe("b!", function)
    say(pubsub.publish("a!", 1, x=2))
    await listener.done.wait()
    pubsub.publish("b!")
    pubsub.publish("unsubscribed!")
"""
        + RUN
    )
    assert outcome.lines[:4] == [
        "method a! (1,) {'x': 2}",
        "function a! (1,) {'x': 2}",
        "None",
        "coroutine a! (1,) {'x': 2}",
    ]


def test_publish_asynchronously():
    """From the event loop, soon."""
    outcome = both(
        APP
        + """
    called = asyncio.Event()
    def function(message_type, *args):
        say(message_type, args)
        called.set()
    pubsub.subscribe("a!", function)
    pubsub.publish("a!", 1, asynchronously=True)
    say("published")
    await called.wait()
"""
        + RUN
    )
    assert outcome.lines == ["published", "a! (1,)"]


def test_publish_threadsafe():
    """From another thread, in the event loop's."""
    outcome = both(
        APP
        + """
    called = asyncio.Event()
    def function(message_type, *args, **kwargs):
        say(args, kwargs, threading.current_thread() is threading.main_thread())
        called.set()
    pubsub.subscribe("a!", function)
    await asyncio.to_thread(pubsub.publish_threadsafe, "a!", 1, x=2)
    await called.wait()
"""
        + RUN
    )
    assert outcome.lines == ["(1,) {'x': 2} True"]


def test_unsubscribe():
    """Once for each subscription; one that there isn't is logged."""
    outcome = both(
        """
class Listener:
    def method(self, message_type, *args):
        say("heard", *args)
"""
        + APP
        + """
    listener = Listener()
    for number in range(2):
        pubsub.subscribe("a!", listener.method)
    for number in range(4):
        pubsub.publish("a!", number)
        pubsub.unsubscribe("a!", listener.method)
    pubsub.unsubscribe("b!", listener.method)
"""
        + RUN
    )
    assert outcome.lines == ["heard 0", "heard 0", "heard 1"]
    assert "isn't subscribed to 'a!'" in outcome.log


def test_unsubscribe_while_publishing():
    """No callback is skipped (the original skips the next one), and unsubscribed ones aren't called."""
    outcome = ours(
        APP
        + """
    def once(message_type):
        say("once")
        pubsub.unsubscribe("a!", once)
        pubsub.unsubscribe("a!", third)
    def second(message_type): say("second")
    def third(message_type): say("third")
    for callback in (once, second, third):
        pubsub.subscribe("a!", callback)
    pubsub.publish("a!"); pubsub.publish("a!")
"""
        + RUN
    )
    assert outcome.lines == ["once", "second", "second"], outcome.log


def test_subscribe_while_publishing():
    """A callback subscribed by another callback gets the message as well, after the others."""
    outcome = both("""
    class Component:
        def __init__(self, app, name):
            self.app, self.name = app, name
            app.PubSub.subscribe("Application.run!", self.on_run)
        def on_run(self, message_type):
            say(self.name)
            if self.name == "first":
                self.child = Component(self.app, "made by the first")
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            self.components = [Component(self, "first"), Component(self, "second")]
        async def main(self):
            self.stop()
    App().run()
    """)
    assert outcome.lines == ["first", "second", "made by the first"]


def test_bound_methods_are_held_weakly():
    """A subscription ends with its object."""
    outcome = both(
        """
class Listener:
    def method(self, message_type): say("heard")
"""
        + APP
        + """
    listener = Listener()
    pubsub.subscribe("a!", listener.method)
    pubsub.publish("a!")
    del listener
    pubsub.publish("a!")
"""
        + RUN
    )
    assert outcome.lines == ["heard"]


def test_functions_are_held_strongly():
    """The original drops lambdas, partial functions and local functions without other references."""
    outcome = ours(
        APP
        + """
    import functools
    heard, done = [], asyncio.Queue()
    async def later(what, message_type):
        say(what)
        done.put_nowait(what)
    pubsub.subscribe("a!", lambda message_type: say("lambda"))
    pubsub.subscribe("a!", functools.partial(later, "partial"))
    pubsub.subscribe("a!", lambda message_type: later("coroutine of a lambda", message_type))
    pubsub.subscribe("a!", heard.append)
    import gc; gc.collect()
    pubsub.publish("a!")
    await done.get()
    await done.get()
    say(heard)
"""
        + RUN
    )
    assert outcome.lines == ["lambda", "partial", "coroutine of a lambda", "['a!']"], outcome.log


def test_errors_of_callbacks_are_logged():
    """The other callbacks still get the message."""
    outcome = both(
        """
def wrong(message_type): raise LookupError("out of a function")
async def wrong_too(message_type): raise LookupError("out of a coroutine")
"""
        + APP
        + """
    done = asyncio.Queue()
    def right(message_type):
        say("heard")
        done.put_nowait(message_type)
    for callback in (wrong, wrong_too, right):
        pubsub.subscribe("a!", callback)
    pubsub.publish("a!"); pubsub.publish_threadsafe("a!")
    await done.get()
    await done.get()
"""
        + RUN
    )
    assert outcome.lines == ["heard", "heard"]
    assert "LookupError: out of a function" in outcome.log
    assert "LookupError: out of a coroutine" in outcome.log


def test_errors_of_asynchronous_deliveries_are_logged():
    """As errors of other deliveries are."""
    outcome = both(
        "def wrong(message_type): raise LookupError('out of a function')\n"
        + APP
        + """
    called = asyncio.Event()
    def right(message_type): called.set()
    pubsub.subscribe("a!", wrong)
    pubsub.subscribe("a!", right)
    pubsub.publish("a!", asynchronously=True)
    await called.wait()
"""
        + RUN
    )
    assert "A callback of 'a!' failed" in outcome.log


def test_subscribe_all_finds_what_is_decorated():
    """One method may have several types; the function stays what it is."""
    outcome = both(
        """
class Listener:
    def __init__(self, app):
        self.done = asyncio.Event()
        app.PubSub.subscribe_all(self)
    @asab.subscribe("a!")
    @asab.subscribe("b!")
    def both(self, message_type): say("both", message_type)
    @asab.subscribe("a!")
    async def a(self, message_type):
        say("a", message_type)
        self.done.set()
    def none(self, message_type): say("none", message_type)
"""
        + APP
        + """
    listener = Listener(app)
    for message in ("a!", "b!"):
        pubsub.publish(message)
    await listener.done.wait()
    listener.both("called")
"""
        + RUN
    )
    assert sorted(outcome.lines) == ["a a!", "both a!", "both b!", "both called"]


def test_message_waits_for_one():
    """And returns type, arguments and keywords."""
    outcome = both(
        APP
        + """
    app.Loop.call_soon(lambda: pubsub.publish("a!", 1, 2, x=3))
    say(await pubsub.message("a!"))
"""
        + RUN
    )
    assert outcome.lines == ["('a!', (1, 2), {'x': 3})"]


def test_subscriber():
    """Keeps messages in order until they are taken, from several types and sources."""
    outcome = both(
        APP
        + """
    subscriber = asab.Subscriber(pubsub, "a!", "b!")
    subscriber.subscribe(pubsub, "c!")
    for number, message in enumerate(["a!", "c!", "x!", "b!", "a!"]):
        pubsub.publish(message, number, n=number)
    say(await subscriber.message())
    async for message_type, args, kwargs in subscriber:
        say(message_type, args, kwargs)
        if message_type == "a!":
            break
    empty = asab.Subscriber()
    pubsub.unsubscribe("a!", subscriber)
    subscriber.subscribe(pubsub, "end!")
    pubsub.publish("a!")
    pubsub.publish("end!")
    say((await subscriber.message())[0])
"""
        + RUN
    )
    assert outcome.lines[0] == "('a!', (0,), {'n': 0})"
    assert outcome.lines[-1] == "end!"


def test_a_subscriber_ends_with_its_last_reference():
    """As with a bound method: message() leaves nothing behind."""
    outcome = ours(
        APP
        + """
    import gc, weakref
    subscriber = asab.Subscriber(pubsub, "a!")
    gone = weakref.ref(subscriber)
    del subscriber
    say(gone())
    pubsub.publish("a!")
    say(pubsub._references.get("a!"))
"""
        + RUN
    )
    assert outcome.lines == ["None", "None"], outcome.log


def test_deliveries_under_way_at_the_end_are_finished():
    """What a coroutine does on ``Application.exit!`` it does to the end."""
    outcome = both("""
class App(asab.Application):
    async def main(self):
        self.PubSub.subscribe("Application.exit!", self.leaving)
        self.stop()
    async def leaving(self, message_type):
        say(await asyncio.to_thread(lambda: "left"))
App(args=[]).run()
say("over")
""")
    assert outcome.lines == ["left", "over"]
