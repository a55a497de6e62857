"""The row ``Configurable``: defaults of classes, the section, what the program gives."""

from tests.asab.both import both

CLASSES = """
class Base(asab.Configurable):
    ConfigDefaults = {"a": "base", "b": "base", "n": 3, "t": "2m", "f": "yes", "u": "http://h/"}
class Thing(Base):
    ConfigDefaults = {"b": "thing", "c": "thing"}
class Plain(Thing):
    pass
"""


def test_configurable_defaults_section_and_argument():
    """Later ones win: base classes, the class, the section, the argument."""
    outcome = both(
        CLASSES
        + """
asab.Config.add_defaults({"thing": {"c": "section", "d": "section"}})
def show(thing):
    say(sorted((key, str(value)) for key, value in thing.Config.items()))
show(Plain("nowhere"))
show(Plain("thing"))
show(Plain("thing", config={"d": "argument", "e": 5}))
show(Plain(config_section_name="thing", config=None))
"""
    )
    assert "('d', 'argument'), ('e', '5')" in outcome.lines[2]


def test_configurable_conversions():
    """On what it holds."""
    outcome = both(
        CLASSES
        + """
c = Plain("x").Config
say(c.getint("n"), c.getfloat("n"), c.getseconds("t"), c.getboolean("f"), c.geturl("u", scheme="http"))
say(c.get("no"), "a" in c, len(c), list(c)[:1] != [], c["n"])
c["new"] = 1; del c["a"]; say("a" in c, c["new"])
for wrong in (lambda: c.getboolean("t"), lambda: c.getseconds("u"), lambda: c.geturl("u", scheme="https")):
    try: wrong()
    except ValueError: say("ValueError")
"""
    )
    assert outcome.lines[0] == "3 3.0 120.0 True http://h"


def test_configurable_none_is_no_default():
    """None can't be written in a file."""
    both(
        """
class Wrong(asab.Configurable):
    ConfigDefaults = {"a": None}
try: Wrong("x")
except ValueError: say("ValueError")
say(asab.ConfigObject is asab.Configurable)
"""
    )
