"""The row ``app.TaskService``."""

from tests.asab.both import both, ours

APP = """
class App(asab.Application):
    async def main(self):
        await program(self, self.TaskService)
        self.stop()
async def program(app, service):
"""
RUN = "\nApp(args=[]).run()\n"


def test_schedule_runs_coroutines_tasks_and_futures():
    """And publishes ``TaskService.task_done!`` as each ends."""
    outcome = both(
        """
async def work(name):
    say(name)
    return name
"""
        + APP
        + """
    done = asab.Subscriber(app.PubSub, "TaskService.task_done!")
    future = app.Loop.create_future()
    service.schedule(work("one"), asyncio.create_task(work("two")), future)
    future.set_result("three")
    results = {(await done.message())[1][0].result() for _ in range(3)}
    say(sorted(results))
"""
        + RUN
    )
    assert sorted(outcome.lines) == ["['one', 'three', 'two']", "one", "two"]


def test_schedule_before_the_loop_runs():
    """It starts with it."""
    outcome = both("""
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[])
        self.TaskService.schedule(self.work())
        say("made")
    async def work(self):
        say("work")
        os._exit(0)
App().run()
""")
    assert outcome.lines == ["made", "work"]


def test_what_is_scheduled_before_starts_after_the_services():
    """The work may use the services."""
    outcome = both("""
class S(asab.Service):
    async def initialize(self, app):
        self.ready = await asyncio.to_thread(lambda: True)
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[])
        self.service = S(self, "mine")
        self.TaskService.schedule(self.work())
        self.TaskService.run_forever(self.forever)
    async def work(self):
        say("work", self.service.ready)
    async def forever(self):
        say("forever", self.service.ready)
        os._exit(0)
App().run()
""")
    assert outcome.lines == ["work True", "forever True"]


def test_schedule_of_another_kind_of_coroutine():
    """A request of aiohttp's is one."""
    both(
        """
import collections.abc
class Coroutine(collections.abc.Coroutine):
    def __init__(self, inner): self.inner = inner
    def __await__(self): return self.inner.__await__()
    def send(self, value): return self.inner.send(value)
    def throw(self, *args): return self.inner.throw(*args)
    def close(self): return self.inner.close()
async def work(): return "done"
"""
        + APP
        + """
    done = asab.Subscriber(app.PubSub, "TaskService.task_done!")
    service.schedule(Coroutine(work()))
    say((await done.message())[1][0].result())
"""
        + RUN
    )


def test_scheduled_tasks_start_at_once():
    """The original starts them with its next tick, which never comes here."""
    outcome = ours(
        "asab.Config.add_defaults({'general': {'tick_period': '100000'}})\n"
        + APP
        + """
    started = asyncio.Event()
    async def work():
        say("work")
        started.set()
    service.schedule(work())
    await started.wait()
    say("main")
"""
        + RUN
    )
    assert outcome.lines == ["work", "main"], outcome.log


def test_errors_of_tasks_are_logged():
    """With where they come from."""
    outcome = both(
        "async def work(): raise LookupError('out of work')\n"
        + APP
        + """
    done = asab.Subscriber(app.PubSub, "TaskService.task_done!")
    service.schedule(work())
    await done.message()
    say("goes on")
"""
        + RUN
    )
    assert outcome.lines == ["goes on"]
    assert "LookupError: out of work" in outcome.log


def test_schedule_of_a_function_says_what_to_do():
    """The original's main task fails instead, in the log."""
    outcome = ours(
        "async def work(): pass\n"
        + APP
        + """
    try:
        service.schedule(work)
    except TypeError as error:
        say(error)
"""
        + RUN
    )
    assert "schedule(work())" in outcome.out, outcome.log


def test_schedule_threadsafe():
    """From another thread, run in the event loop's."""
    outcome = both(
        "async def work(): say(threading.current_thread() is threading.main_thread())\n"
        + APP
        + """
    done = asab.Subscriber(app.PubSub, "TaskService.task_done!")
    await asyncio.to_thread(service.schedule_threadsafe, work())
    await done.message()
"""
        + RUN
    )
    assert outcome.lines == ["True"]


def test_run_forever_starts_again():
    """Whether it returned or failed."""
    outcome = both(
        APP
        + """
    runs, over = [], asyncio.Event()
    async def work():
        runs.append(None)
        say("run", len(runs))
        if len(runs) == 2:
            raise LookupError("out of a run")
        if len(runs) == 4:
            over.set()
            await asyncio.Event().wait()
    service.run_forever(work)
    await over.wait()
"""
        + RUN
    )
    assert outcome.lines == ["run 1", "run 2", "run 3", "run 4"]
    assert "LookupError: out of a run" in outcome.log


def test_run_forever_of_what_never_waits_or_always_fails():
    """Neither stops the event loop (as in the original) nor fills the log."""
    outcome = ours(
        APP
        + """
    runs, failures, many, twice = [], [], asyncio.Event(), asyncio.Event()
    async def returns():
        runs.append(None)
        if len(runs) > 50:
            many.set()
    async def fails():
        failures.append(None)
        if len(failures) > 1:
            twice.set()
        raise LookupError("again")
    service.run_forever(returns, fails)
    await many.wait()
    await twice.wait()
    say(len(failures) < 20)
"""
        + RUN
    )
    assert outcome.lines == ["True"], outcome.log


def test_tasks_are_cancelled_at_the_end():
    """After main(), while services are finalized."""
    outcome = both(
        """
async def work(started):
    started.put_nowait(None)
    try:
        await asyncio.Event().wait()
    finally:
        say("cancelled")
"""
        + APP
        + """
    import functools
    started = asyncio.Queue()
    service.schedule(work(started))
    service.run_forever(functools.partial(work, started))
    await started.get()
    await started.get()
    say("main is over")
"""
        + RUN
    )
    assert outcome.lines == ["main is over", "cancelled", "cancelled"]
