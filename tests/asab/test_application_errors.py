"""The row ``Application``: what an exception, a cancellation or ``sys.exit`` does."""

import pytest
from tests.asab.both import both, ours


@pytest.mark.parametrize("where", ["initialize", "main"])
def test_an_exception_finalizes_and_leaves_run(where):
    """The original leaves run() with it, too, but finalizes nothing."""
    outcome = ours(f"""
    class S(asab.Service):
        async def finalize(self, app):
            say("finalize", self.Name)
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            S(self, "service")
            self.PubSub.subscribe("Application.stop!", say)
        async def {where}(self):
            raise LookupError("out of {where}")
        async def finalize(self):
            say("finalize")
    try:
        App().run()
    except LookupError as error:
        say("left with", error)
    """)
    said = ["Application.stop! 1", "finalize", "finalize service", f"left with out of {where}"]
    assert outcome.seen == (0, said), outcome.log


def test_an_exception_out_of_finalize_leaves_run():
    """After the services are finalized."""
    outcome = both("""
    class S(asab.Service):
        async def finalize(self, app):
            say("finalize service")
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            S(self, "service")
        async def main(self):
            self.stop()
        async def finalize(self):
            await asyncio.sleep(0.01)
            raise LookupError("out of finalize")
    try:
        App().run()
    except LookupError as error:
        say("left with", error)
        os._exit(0)
    """)
    assert outcome.lines == ["finalize service", "left with out of finalize"]


@pytest.mark.parametrize(
    "where",
    [
        "async def initialize(self): sys.exit(3)",
        "async def main(self): sys.exit(3)",
        "async def initialize(self): Leaving(self, 'leaving')",
        "async def main(self): Leaving(self, 'leaving')",
        "async def main(self): self.Loop.call_soon(sys.exit, 3)",
        "async def main(self): self.TaskService.schedule(self.leave())",
        "async def main(self): self.PubSub.subscribe('Application.tick!', lambda *_: sys.exit(3))",
    ],
)
def test_sys_exit_finalizes_and_leaves_run(where):
    """Wherever it is called."""
    outcome = ours(f"""
    class Leaving(asab.Service):
        async def initialize(self, app):
            sys.exit(3)
    class App(asab.Application):
        {where}
        async def leave(self):
            sys.exit(3)
        async def finalize(self):
            say("finalize")
    App(args=[]).run()
    """)
    assert outcome.seen == (3, ["finalize"]), outcome.log


def test_nothing_runs_after_run():
    """Tasks left behind have a while to end; then they are cancelled, and the log names them."""
    outcome = ours("""
    class App(asab.Application):
        async def main(self):
            slow = asyncio.create_task(self.slow(), name="the slow one")
            self.tasks = [slow, asyncio.create_task(self.quick())]
            self.stop()
        async def slow(self):
            try:
                await asyncio.Event().wait()
            finally:
                say("cancelled")
        async def quick(self):
            await asyncio.to_thread(lambda: None)
            say("done")
    app = App(args=[])
    app.run()
    say([task.done() for task in app.tasks], app.Loop.is_closed())
    """)
    assert outcome.seen == (0, ["done", "cancelled", "[True, True] True"]), outcome.log
    assert "the slow one" in outcome.log
    assert "quick" not in outcome.log


@pytest.mark.parametrize("where", ["initialize", "main"])
def test_a_cancelled_task_that_is_waited_for_leaves_run(where):
    """As any exception does, and it isn't taken for an interruption; the original finalizes nothing."""
    outcome = ours(f"""
    class App(asab.Application):
        async def {where}(self):
            task = asyncio.create_task(asyncio.sleep(60))
            task.cancel()
            await task
        async def finalize(self):
            say("finalize")
    try:
        App(args=[]).run()
    except asyncio.CancelledError:
        say("left")
    """)
    assert outcome.seen == (0, ["finalize", "left"]), outcome.log
    assert "interrupted" not in outcome.log


def test_finalize_that_is_no_coroutine_function():
    """run() raises the error after everything else is finalized."""
    outcome = ours("""
    class S(asab.Service):
        def finalize(self, app):
            say("finalize", self.Name)
            raise LookupError
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[])
            S(self, "one")
            S(self, "two")
        async def main(self):
            self.stop()
        def finalize(self):
            say("finalize")
            raise LookupError
    try:
        App().run()
    except LookupError:
        say("left")
    """)
    assert outcome.seen == (0, ["finalize", "finalize one", "finalize two", "left"]), outcome.log
