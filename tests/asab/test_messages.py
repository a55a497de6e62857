"""The row ``app.PubSub``: the application's own messages, those published here and those that never come."""

import re

from tests.asab.both import both
from tests.interop.original import PYTHON

from peerage.asab.absent import NEVER_PUBLISHED


def test_subscribing_to_a_message_that_is_never_published_warns():
    """Once for each message; the program may still publish it itself."""
    program = """
app = asab.Application(args=[])
def heard(message_type):
    say("heard", message_type)
for _ in range(2):
    app.PubSub.subscribe("Application.housekeeping!", heard)
asab.Subscriber(app.PubSub, "Application.housekeeping!")
app.PubSub.subscribe("Library.ready!", heard)
app.PubSub.subscribe("Own.message!", heard)
app.PubSub.subscribe("Application.tick/600!", heard)
app.PubSub.publish("Application.housekeeping!")
"""
    outcome = both(program)
    assert outcome.lines == ["heard Application.housekeeping!"] * 2
    housekeeping, library = (
        line for line in outcome.log.splitlines() if " WARNING peerage.asab.pubsub " in line
    )
    assert "'Application.housekeeping!' is never published here: " in housekeeping
    assert "Application.tick/3600!" in housekeeping
    assert "'Library.ready!' is never published here: " in library
    assert "asab.library" in library


#: What is published here.
PUBLISHED = {
    *(f"Application.{name}!" for name in ("init", "run", "stop", "exit", "hup", "tick")),
    *(f"Application.tick/{every}!" for every in (10, 60, 300, 600, 1800, 3600, 43200, 86400)),
    *("TaskService.task_done!", "WebContainer.started!", "WebContainer.stopped!"),
    "ZooKeeperContainer.state/{}!",
}


def test_every_message_of_the_original_is_published_or_warned_of():
    """All messages that its source publishes."""
    (package,) = (PYTHON.parent.parent / "lib").glob("python3*/site-packages/asab")
    found = {
        message
        for file in package.rglob("*.py")
        for message in re.findall(r"""publish(?:_threadsafe)?\(\s*["']([^"']+!)["']""", file.read_text())
    }
    examples = {"Fireworks.started!"}
    assert len(found) > len(PUBLISHED)
    assert found - examples - PUBLISHED == NEVER_PUBLISHED.keys()
