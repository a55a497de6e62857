"""The row ``logging``: ``struct_data=``, NOTICE, and where the log goes."""

import logging
import re

import pytest
from tests.asab.both import both, ours

APP = """
L = logging.getLogger("program")
app = asab.Application(args=sys.argv[1:])
"""
END = "\nos._exit(0)\n"


def test_struct_data_and_log_notice():
    """Every method takes it, and so does another formatter."""
    outcome = both(
        """
        L = logging.getLogger("program")
        say(asab.LOG_NOTICE, logging.getLevelName(25))
        class Handler(logging.Handler):
            def emit(self, record): say(record.levelname, record.getMessage(), record._struct_data)
        logging.getLogger().addHandler(Handler())
        L.log(asab.LOG_NOTICE, "one %s", "two", struct_data={"a": 1})
        L.error("an error", struct_data={"b": "c"})
        try:
            raise LookupError
        except LookupError:
            L.exception("failed", struct_data={"d": None})
        """
    )
    assert outcome.lines[0] == "25 NOTICE"


def test_struct_data_in_the_log():
    """In front of the message, as in the original."""
    program = APP + "L.warning('a message', struct_data={'key': 'value', 'n': 1}); L.warning('another')" + END
    ansi = re.compile(r"\x1b\[[0-9;]*m")
    shown = {
        ansi.sub("", line.split(" ", 2)[2]) for line in both(program).log.splitlines() if "program" in line
    }
    assert shown == {'WARNING program [sd key="value" n="1"] a message', "WARNING program another"}


def test_where_a_record_comes_from():
    """Is the caller, not the logger class (as it is in the original)."""
    outcome = ours("""
    logging.basicConfig(format="%(funcName)s %(lineno)d %(message)s")
    def caller():
        logging.getLogger("program").warning("here")
    caller()
    """)
    assert re.fullmatch(r"caller \d+ here\n", outcome.log)


def test_the_real_asabs_loggers_stay():
    """Where it is loaded, its logger class is the one."""
    outcome = ours("""
    import importlib, types
    for name in [name for name in sys.modules if name.startswith("peerage")]:
        del sys.modules[name]
    class Theirs(logging.Logger): pass
    logging.setLoggerClass(Theirs)
    sys.modules["asab"] = types.ModuleType("asab")
    importlib.import_module("peerage.asab")
    say(logging.getLoggerClass().__name__)
    """)
    assert outcome.lines == ["Theirs"], outcome.log


def test_another_logger_class_is_kept_beneath():
    """One of the program's own keeps its methods."""
    outcome = ours("""
    import importlib
    class Mine(logging.Logger):
        def mine(self): return "mine"
    for name in [name for name in sys.modules if name.startswith("peerage")]:
        del sys.modules[name]
    logging.setLoggerClass(Mine)
    importlib.import_module("peerage.asab")
    L = logging.getLogger("program")
    L.warning("x", struct_data={})
    say(L.mine())
    """)
    assert outcome.lines == ["mine"], outcome.log


@pytest.mark.parametrize(
    ("args", "shown"),
    [((), ["NOTICE", "WARNING", "ERROR"]), (("-v",), ["DEBUG", "INFO", "NOTICE", "WARNING", "ERROR"])],
)
def test_levels_by_default_and_verbose(args, shown):
    """NOTICE and above; all levels with ``-v``."""
    program = APP + "for level in (10, 20, 25, 30, 40): L.log(level, 'a message')" + END
    outcome = both(program, *args)
    assert [line.split()[2] for line in outcome.log.splitlines() if "a message" in line] == shown


def test_logging_level_and_levels(tmp_path):
    """Of the root logger, and of single loggers; an unknown level is reported."""
    path = tmp_path / "a.conf"
    path.write_text(
        "[logging]\nlevel = warning\nlevels =\n  # no\n  program DEBUG\n  quiet LOG NOTICE\n  odd loud\n"
    )
    program = APP + (
        "say([logging.getLogger(name).getEffectiveLevel() for name in ('program', 'quiet', 'other', 'odd')])"
        + END
    )
    outcome = both(program, "-c", str(path))
    assert outcome.lines == ["[10, 25, 30, 30]"]
    assert "level 'LOUD' of odd isn't known" in outcome.log


def test_an_unknown_level_leaves_notice(tmp_path):
    """And it is reported."""
    path = tmp_path / "a.conf"
    path.write_text("[logging]\nlevel = loud\n")
    outcome = ours(APP + "say(logging.getLogger().level)" + END, "-c", str(path))
    assert outcome.lines == ["25"]
    assert "level 'LOUD' of root isn't known" in outcome.log


def test_log_file(tmp_path):
    """``-l FILE``, its folder made; begun anew on SIGHUP."""
    path = tmp_path / "folder/program.log"

    def hang_up(process, _):
        process.send_signal(1)
        assert process.stdout.readline() == "Application.hup!\n"
        process.send_signal(15)

    outcome = ours(
        """
    L = logging.getLogger("program")
    class App(asab.Application):
        async def main(self):
            self.PubSub.subscribe("Application.hup!", self.heard)
            L.warning("before", struct_data={"a": 1})
            say("ready")
        def heard(self, message):
            L.warning("after")
            say(message)
    App().run()
    """,
        "-l",
        str(path),
        meanwhile=hang_up,
    )
    assert outcome.code == 0, outcome.log
    assert 'WARNING program [sd a="1"] before' in path.with_name("program.log.1").read_text()
    assert "after" in path.read_text()
    assert "before" not in path.read_text()


def test_rotate_every_names_the_real_asab():
    """An option that only the real asab has is reported, and the log continues."""
    outcome = ours(
        "asab.Config.add_defaults({'logging:file': {'rotate_every': '1d', 'path': '/dev/null'}})\n"
        "asab.Application(args=[]); os._exit(0)"
    )
    assert "[logging:file] rotate_every: a new log file begins at SIGHUP" in outcome.log
    assert "docs/asab-inside.md" in outcome.log


def test_syslog_names_the_service_manager():
    """It is reported that ``-s`` has no effect, and the program continues."""
    outcome = ours(APP + END, "-s")
    assert outcome.code == 0
    assert "[logging:syslog] enabled, or -s: peerage.asab doesn't write to syslog" in outcome.log


def test_log_handlers_of_the_program_stay_alone():
    """It has configured logging itself."""
    outcome = both("""
    logging.basicConfig(format="%(message)s")
    app = asab.Application(args=[])
    say(len(logging.getLogger().handlers))
    os._exit(0)
    """)
    assert outcome.lines == ["1"]


def test_log_files_of_the_program_are_left_alone(tmp_path):
    """On SIGHUP it begins them anew itself, if it likes."""
    outcome = both(f"""
    import logging.handlers
    handler = logging.handlers.RotatingFileHandler({str(tmp_path / "a.log")!r}, backupCount=1)
    logging.getLogger().addHandler(handler)
    class App(asab.Application):
        async def main(self):
            hup = asab.Subscriber(self.PubSub, "Application.hup!")
            os.kill(os.getpid(), signal.SIGHUP)
            await hup.message()
            say(os.listdir({str(tmp_path)!r}))
            self.stop()
    App(args=[]).run()
    handler.close()
    """)
    assert outcome.lines == ["['a.log']"]


def test_the_handlers_of_an_earlier_application_go_on():
    """Without being taken for the program's own."""
    outcome = ours("""
    class App(asab.Application):
        async def main(self):
            logging.getLogger("program").warning("hello")
            self.stop()
    for _ in range(2):
        App(args=[]).run()
        asab.Singleton.delete(App)
    """)
    assert outcome.code == 0
    assert outcome.log.count("hello") == 2
    assert "handlers" not in outcome.log


def test_log_obsolete():
    """For what is on its way out."""
    both(
        APP
        + "asab.LogObsolete.warning('x', struct_data={'eol': '2030-01-01'}); say(asab.LogObsolete.name)"
        + END
    )


def test_importing_installs_the_logger_class():
    """Of loggers made afterwards."""
    before = logging.getLoggerClass()
    outcome = both("say(type(logging.getLogger('a')).__mro__[1].__name__)")
    assert outcome.lines == ["Logger"]
    assert logging.getLoggerClass() is before
