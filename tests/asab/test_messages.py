"""The row ``app.PubSub``: the application's own messages, those published here and those that never come."""

import re

from tests.asab.both import both
from tests.interop.original import PYTHON


def test_subscribing_to_housekeeping_warns():
    """It isn't published every night here; the program may still publish it itself."""
    program = """
app = asab.Application(args=[])
def heard(message_type):
    say("heard", message_type)
app.PubSub.subscribe("Application.housekeeping!", heard)
app.PubSub.subscribe("Own.message!", heard)
app.PubSub.subscribe("Application.tick/600!", heard)
app.PubSub.publish("Application.housekeeping!")
"""
    outcome = both(program)
    assert outcome.lines == ["heard Application.housekeeping!"]
    (line,) = (line for line in outcome.log.splitlines() if " WARNING peerage.asab.pubsub " in line)
    assert "'Application.housekeeping!' is published here with --startup-housekeeping only: " in line
    assert "Application.tick/3600!" in line


#: What is published here.
PUBLISHED = {
    *(f"Application.{name}!" for name in ("init", "run", "stop", "exit", "hup", "tick")),
    *(f"Application.tick/{every}!" for every in (10, 60, 300, 600, 1800, 3600, 43200, 86400)),
    *("TaskService.task_done!", "WebContainer.started!", "WebContainer.stopped!"),
    "ZooKeeperContainer.state/{}!",
}

#: What modules publish that aren't here, so that a program with them can't be started; and housekeeping.
ELSEWHERE = {
    *(
        f"{module}.{state}!"
        for module in ("Library", "Tenants")
        for state in ("change", "not_ready", "ready")
    ),
    *("Application.housekeeping!", "Metrics.flush!", "PublicKey.updated!"),
}


def test_every_message_of_the_original_is_known():
    """All messages that its source publishes are published here, or come from what isn't here."""
    (package,) = (PYTHON.parent.parent / "lib").glob("python3*/site-packages/asab")
    found = {
        message
        for file in package.rglob("*.py")
        for message in re.findall(r"""publish(?:_threadsafe)?\(\s*["']([^"']+!)["']""", file.read_text())
    }
    examples = {"Fireworks.started!"}
    assert len(found) > len(PUBLISHED)
    assert found - examples - PUBLISHED == ELSEWHERE
