"""The row ``Config``: INI files, their references and includes, defaults, conversions."""

import pytest
from tests.asab.both import both, ours

#: Makes an application of the command line and goes on without running it.
READ = "app = asab.Application(args=sys.argv[1:])\n"
END = "\nos._exit(0)"


@pytest.fixture
def write(tmp_path):
    """Write a file of the test's folder."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def test_sections_of_an_ini_file(write):
    """Keys in any case, values of several lines, comments."""
    path = write(
        "a.conf", "[one]\nKey = value # no comment\n; a comment\nlines =\n  first\n  second\n[two]\nempty=\n"
    )
    outcome = both(
        READ
        + """
c = asab.Config
say(c['one']['key'], repr(c.get('one', 'LINES')), repr(c['two']['empty']))
say(c.has_section('three'), 'one' in c, c.sections()[:2])
"""
        + END,
        "-c",
        path,
    )
    assert outcome.code == 0


def test_extended_interpolation(write):
    """``${section:key}``, ``${key}``; ``%`` is literal, ``$$`` a dollar."""
    path = write("a.conf", "[a]\nhost = h\nurl = http://${host}:${b:port}/%2F\nprice = 5$$\n[b]\nport = 80\n")
    outcome = both(READ + "say(asab.Config['a']['url'], asab.Config['a']['price'])" + END, "-c", path)
    assert outcome.lines == ["http://h:80/%2F 5$"]


def test_the_environment_is_expanded(write):
    """``$VAR``, ``${VAR}``; a variable that isn't there stays; ``$THIS_DIR`` is the file's folder."""
    path = write(
        "sub/a.conf", "[a]\nx = $ONE-${ONE}-$HOSTNAME\nhere = $THIS_DIR/file\nraw = ${b:y}\n[b]\ny=2\n"
    )
    outcome = both(
        READ
        + "say(asab.Config['a']['x'], asab.Config['a']['raw'])\n"
        + f"say(asab.Config['a']['here'].removeprefix({str(path.rpartition('/sub')[0])!r}))\n"
        + "asab.Config.add_defaults({'d': {'one': '$ONE and ${ONE}'}}); say(asab.Config['d']['one'])"
        + END,
        "-c",
        path,
        ONE="1",
        ASAB_HOSTNAME="h",
    )
    assert outcome.lines == ["1-1-h 2", "/sub/file", "1 and 1"]


def test_this_dir_of_a_relative_path(write, tmp_path):
    """Absolute all the same."""
    write("sub/a.conf", "[a]\nhere = $THIS_DIR\n")
    both(READ + "say(asab.Config['a']['here'])" + END, "-c", "sub/a.conf", cwd=tmp_path)


def test_general_include(write, tmp_path):
    """Several, by patterns, nested, each with its own ``$THIS_DIR``; what is included wins."""
    write(
        "a.conf", "[general]\ninclude =\n  $THIS_DIR/etc/*.conf\n  $THIS_DIR/more/c.conf\n[x]\nv = a\na = 1\n"
    )
    write("etc/b.conf", "[x]\nv = b\nwhere = $THIS_DIR\n[general]\ninclude=$THIS_DIR/deep.ini\n")
    write("etc/deep.ini", "[x]\ndeep = yes\n")
    write("more/c.conf", "[x]\nc = 3\n[general]\ninclude=$THIS_DIR/../etc/deep.ini /nowhere/*.conf\n")
    outcome = both(
        READ + "say(*[f'{key}={os.path.basename(value)}' for key, value in asab.Config.items('x')])" + END,
        "-c",
        "a.conf",
        cwd=tmp_path,
    )
    assert outcome.lines == ["v=b a=1 where=etc deep=yes c=3"]
    assert "twice" not in outcome.log


def test_a_file_that_includes_itself(write, tmp_path):
    """It is read once, with a warning."""
    write("a.conf", "[general]\ninclude = $THIS_DIR/b.conf\n")
    write("b.conf", "[x]\ny = 1\n[general]\ninclude = $THIS_DIR/b.conf\n")
    outcome = both(READ + "say(asab.Config['x']['y'])" + END, "-c", "a.conf", cwd=tmp_path)
    assert "b.conf is included twice; the second time it is left out" in outcome.log


def test_include_on_one_line(write, tmp_path):
    """Separated by spaces; relative to where the program runs."""
    write("a.conf", "[general]\ninclude = b.conf c.conf\n")
    write("b.conf", "[x]\nb = 1\n")
    write("c.conf", "[x]\nc = 1\n")
    both(READ + "say(dict(asab.Config.items('x')))" + END, "-c", "a.conf", cwd=tmp_path)


def test_a_missing_include_is_left_out(write):
    """As in the original, with a warning here."""
    path = write("a.conf", "[general]\ninclude = /nowhere/b.conf\n[x]\ny = 1\n")
    outcome = both(READ + "say(asab.Config['x']['y'])" + END, "-c", path)
    assert "[general] include: /nowhere/b.conf can't be read, it is left out: " in outcome.log


def test_including_what_cant_be_read(write, tmp_path):
    """A folder that a pattern matches is left out, as in the original, with a warning here."""
    write("a.conf", f"[general]\ninclude = {tmp_path}/*.part\n")
    write("b.part", "[a]\nx = 1\n")
    (tmp_path / "a.part").mkdir()
    outcome = both(READ + "say(asab.Config['a']['x'])" + END, "-c", str(tmp_path / "a.conf"))
    assert outcome.lines[-1] == "1"
    assert f"[general] include: {tmp_path}/a.part can't be read, it is left out: " in outcome.log


def test_asab_config(write):
    """The file if ``-c`` names none."""
    path = write("a.conf", "[x]\ny = from the environment\n")
    other = write("b.conf", "[x]\ny = from the command line\n")
    program = READ + "say(asab.Config['x']['y'], asab.Config['general']['config_file'] in sys.argv)" + END
    assert both(program, ASAB_CONFIG=path).lines == ["from the environment False"]
    assert both(program, "-c", other, ASAB_CONFIG=path).lines == ["from the command line True"]


def test_add_defaults_never_overwrites(write):
    """They replace neither the file's values nor earlier defaults, before the application and after it."""
    path = write("a.conf", "[x]\nfile = file\n")
    outcome = both(
        """
    c = asab.Config
    c.add_defaults({"x": {"early": "early", "Number": 1, "yes": True}})
    c.add_defaults({"x": {"early": "late"}})
    app = asab.Application(args=sys.argv[1:])
    c.add_defaults({"x": {"file": "late", "late": "late"}, "general": {"tick_period": 7}})
    say(dict(c.items("x")), c["general"]["tick_period"])
    try:
        c.add_defaults({"x": {"none": None}})
    except TypeError:
        say("None is no text")
    os._exit(0)
    """,
        "-c",
        path,
    )
    assert "'early': 'early'" in outcome.out
    assert "'file': 'file'" in outcome.out


def test_a_file_wins_over_what_was_set_before_the_application(write):
    """And loses to what is set after it."""
    path = write("a.conf", "[x]\ny = file\nz = file\n")
    outcome = both(
        "asab.Config.add_section('x'); asab.Config['x']['y'] = 'before'\n"
        + READ
        + "asab.Config['x']['z'] = 'after'; say(asab.Config['x']['y'], asab.Config['x']['z'])"
        + END,
        "-c",
        path,
    )
    assert outcome.lines == ["file after"]


@pytest.mark.parametrize("preset", ["[web]\nlisten = 1234\n", ""])
def test_a_file_wins_over_the_command_line(write, preset):
    """As in the original."""
    path = write("a.conf", preset)
    outcome = both(READ + "say(asab.Config['web']['listen'])" + END, "-c", path, "-w", "0.0.0.0 80")
    assert outcome.lines == ["1234" if preset else "0.0.0.0 80"]


SECONDS = ["1.5h", "20", "0.5", "200ms", "3 m", "1M", "2w", "2W", "1d", "1D", "1y", "1Y", "10s"]


def test_getseconds(write):
    """All units; on the configuration and on its sections; a fallback."""
    path = write(
        "a.conf", "[t]\n" + "".join(f"v{number} = {value}\n" for number, value in enumerate(SECONDS))
    )
    outcome = both(
        READ
        + f"say([asab.Config.getseconds('t', f'v{{n}}') for n in range({len(SECONDS)})])\n"
        + "say(asab.Config['t'].getseconds('v0'), asab.Config.getseconds('t', 'no', fallback=5),"
        " asab.Config['t'].getseconds('no', fallback=6))" + END,
        "-c",
        path,
    )
    assert outcome.lines[1] == "5400.0 5 6"


@pytest.mark.parametrize("value", ["soon", "5 parsecs", "m"])
def test_getseconds_of_something_else(write, value):
    """A ValueError names the correct form."""
    path = write("a.conf", f"[t]\nx = {value}\n")
    outcome = both(
        READ
        + """
try:
    asab.Config.getseconds('t', 'x')
except ValueError as error:
    say('ValueError')
    print(error, file=sys.stderr)
"""
        + END,
        "-c",
        path,
    )
    assert "write a number and one of the units" in outcome.log


def test_getmultiline(write):
    """Words, with any white space between them; a fallback, else None."""
    path = write("a.conf", "[m]\na = one two\n\tthree\n  four  five\nb =\n")
    outcome = both(
        READ
        + """
c = asab.Config
say(c.getmultiline('m', 'a'), c['m'].getmultiline('b'), c.getmultiline('m', 'no'))
say(c['m'].getmultiline('no'), c.getmultiline('m', 'no', fallback=['x']))
say(c['m'].getmultiline('no', fallback='y z'))
"""
        + END,
        "-c",
        path,
    )
    assert outcome.lines[:2] == ["['one', 'two', 'three', 'four', 'five'] [] None", "None ['x']"]


def test_geturl(write):
    """Without space around it and a slash at its end; schemes are checked."""
    path = write("a.conf", "[u]\na = https://host/path/\nb = host\nc = ftp://host/\n")
    outcome = both(
        READ
        + """
def url(*args, **kwargs):
    try:
        return asab.Config.geturl("u", *args, **kwargs)
    except ValueError:
        return "ValueError"
say(url("a"), url("b"), url("a", scheme="https"), url("a", scheme=("http", "https")))
say(url("b", scheme="http"), url("c", scheme="http"))
say(url("no", fallback="http://x/"), asab.Config["u"].geturl("a", scheme="https"))
"""
        + END,
        "-c",
        path,
    )
    assert outcome.lines[0] == "https://host/path host https://host/path https://host/path"


def test_getboolean_and_the_rest_of_configparser(write):
    """It is one."""
    path = write("a.conf", "[b]\na = yes\nb = off\nc = 3\n")
    both(
        READ
        + """
import configparser
c = asab.Config
say(c['b'].getboolean('a'), c['b'].getboolean('b'), c['b'].getint('c'), c.getfloat('b', 'c'))
say(isinstance(c, configparser.ConfigParser), c.get('b', 'no', fallback='-'))
"""
        + END,
        "-c",
        path,
    )


def test_what_an_application_finds_without_a_file():
    """Its own defaults; sections of others aren't there."""
    both(
        READ
        + """
c = asab.Config
say([c['general'][key] for key in ('tick_period', 'manifest', 'changelog', 'config_file')])
say(c['logging']['level'])
say([c.has_section(name) for name in ('web', 'zookeeper', 'passwords')])
"""
        + END
    )


def test_asab_zookeeper_servers():
    """The variable is a default of ``[zookeeper] servers``."""
    both(READ + "say(asab.Config['zookeeper']['servers'])" + END, ASAB_ZOOKEEPER_SERVERS="zk-1:2181")


def test_a_missing_configuration_file():
    """The program ends, saying which."""
    outcome = both(READ, "-c", "/nowhere/a.conf")
    assert outcome.code == 1
    assert "The configuration file /nowhere/a.conf isn't there: check -c and ASAB_CONFIG." in outcome.log
    assert "Traceback" not in outcome.log


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"# x\npassword = secret\n[a]\n", "line 2 is above the first [section]"),
        (b"[a]\nx=1\npassword secret\n[b\n", "neither 'name=value' nor a [section]: line 3, 4"),
        (b"[a]\nx=1\nx=2\n", "line 3]: option 'x' in section 'a' already exists"),
        (b"[a]\n[b]\n[a]\n", "line 3]: section 'a' already exists"),
        (b"[a]\nx=\xff\n", "it isn't UTF-8, byte 6"),
    ],
)
def test_an_unreadable_configuration_file(tmp_path, content, complaint):
    """The program ends with one line that has the file and the reason, without its text."""
    path = tmp_path / "a.conf"
    path.write_bytes(content)
    outcome = both(READ, "-c", str(path))
    assert outcome.code == 1
    assert f"The configuration file {path} can't be read" in outcome.log
    assert outcome.log.endswith(f"{complaint}.\n")
    assert outcome.log.count("\n") == 1
    assert "secret" not in outcome.log


def test_a_folder_as_configuration_file(tmp_path):
    """Likewise."""
    outcome = both(READ, "-c", str(tmp_path))
    assert outcome.code == 1
    assert outcome.log == f"The configuration file {tmp_path} can't be read: Is a directory.\n"


def test_including_from_zookeeper_is_refused(write):
    """Clearly."""
    path = write("a.conf", "[general]\ninclude = zookeeper://zk/asab/a.conf\n")
    outcome = ours(READ, "-c", path)
    assert outcome.code == 1
    assert "files in ZooKeeper can't be included" in outcome.log
