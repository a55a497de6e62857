"""The file: private, replaced as a whole, and left alone where it can't be trusted."""

import os
import resource
import stat

import pytest

from peerage.disk_cache.files import CacheFile
from peerage.disk_cache.format import UnusableFileError
from peerage.disk_cache.location import default_folders
from peerage.testing.children import STRICT, run

MINE = f"peerage-{os.geteuid()}"


@pytest.fixture
def file(parent):
    return CacheFile([str(parent)], "x.cache")


@pytest.fixture
def folder(parent):
    return parent / MINE


def listed(path):
    return [each.name for each in path.iterdir()]


def modes(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_folder_and_file_are_private(file, folder):
    """Whatever the umask says."""
    before = os.umask(0)
    try:
        assert file.write([b"one", b"two"]) == 6
    finally:
        os.umask(before)
    assert modes(folder) == 0o700
    assert modes(folder / "x.cache") == 0o600
    assert file.read() == b"onetwo"
    file.write([b"other"])
    assert file.read() == b"other"
    assert listed(folder) == ["x.cache"]


def test_there_is_none_at_first(file, parent):
    """Reading makes no folder."""
    assert file.read() is None
    assert not parent.exists()


@pytest.mark.parametrize("mode", [0o750, 0o707, 0o1777])
def test_a_folder_open_to_others_isnt_used(file, folder, mode):
    file.write([b"x"])
    folder.chmod(mode)
    for use in (file.read, lambda: file.write([b"y"])):
        with pytest.raises(UnusableFileError, match="chmod 700"):
            use()
    folder.chmod(0o700)
    assert file.read() == b"x"


def test_a_link_isnt_followed(file, folder, tmp_path):
    """Neither in place of the folder nor of the file; a link in place of the file is replaced."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(elsewhere)
    for use in (file.read, lambda: file.write([b"y"])):
        with pytest.raises(OSError, match=r"director|symbolic"):
            use()
    assert not listed(elsewhere)
    folder.unlink()
    target = tmp_path / "target"
    target.write_bytes(b"secret")
    folder.mkdir(mode=0o700)
    (folder / "x.cache").symlink_to(target)
    with pytest.raises(UnusableFileError, match="symbolic link"):
        file.read()
    file.write([b"mine"])
    assert (file.read(), target.read_bytes()) == (b"mine", b"secret")


def test_what_isnt_a_file_isnt_waited_for(file, folder):
    folder.mkdir(parents=True, mode=0o700)
    os.mkfifo(folder / "x.cache")
    with pytest.raises(UnusableFileError, match="isn't a file"):
        file.read()
    (folder / "x.cache").unlink()
    (folder / "x.cache").mkdir()
    with pytest.raises(UnusableFileError, match="isn't a file"):
        file.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_belongs_to_another_user_isnt_used(file, folder, what):
    file.write([b"x"])
    os.chown(folder if what == "folder" else folder / "x.cache", 12345, -1)
    with pytest.raises(UnusableFileError, match="belongs to user 12345"):
        file.read()


def test_the_first_folder_that_works_is_used(tmp_path):
    """A read-only home, for example, is passed over, and a file in it is found nevertheless."""
    blocked, works = tmp_path / "blocked", tmp_path / "works"
    blocked.write_text("a file, where a folder can't be made")
    file = CacheFile([str(blocked), str(works)], "x.cache")
    file.write([b"x"])
    assert file.path == str(works / MINE / "x.cache")
    assert file.read() == b"x"


def test_the_newest_of_several_files_is_read(tmp_path):
    """A folder was read-only or full for a while, so the file in it is older than that in another one."""
    one, other = (CacheFile([str(tmp_path / name)], "x.cache") for name in ("one", "other"))
    one.write([b"one"])
    other.write([b"other"])
    both = CacheFile([str(tmp_path / "one"), str(tmp_path / "other")], "x.cache")
    for newer, older in ((other, one), (one, other)):
        os.utime(older.path, (1000.0, 1000.0))
        os.utime(newer.path, (2000.0, 2000.0))
        assert both.read() == newer.read()
        assert both.path == newer.path
    (tmp_path / "one" / MINE).chmod(0o777)
    assert both.read() == b"other"
    (tmp_path / "other" / MINE).chmod(0o777)
    with pytest.raises(UnusableFileError, match=r"one/"):
        both.read()
    assert both.path == one.path


def test_where_it_is_by_default(tmp_path):
    """In the order of how long each survives, and without a home in /var/tmp."""
    home = tmp_path / "home"
    home.mkdir()
    environ = {"CACHE_DIRECTORY": "/var/cache/orders:/b", "XDG_CACHE_HOME": "/xdg", "HOME": str(home)}
    found = default_folders(environ)
    assert found[:3] == ["/var/cache/orders", "/xdg", f"{home}/.cache"]
    assert found[-1] == "/var/tmp"  # noqa: S108 - the name only
    for useless in ("", "/", "relative", str(tmp_path / "missing")):
        assert not any(each.startswith(str(tmp_path)) for each in default_folders({"HOME": useless}))


def test_no_space_leaves_the_old_file(file, folder):
    """And nothing else."""
    file.write([b"old"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            file.write([b"new" * 5000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read() == b"old"
    assert listed(folder) == ["x.cache"]


#: Writes a file in children that kill themselves, each one call of the system later; says what is read then.
_KILLED = """
import os, signal, sys
from peerage.disk_cache.files import CacheFile

file = CacheFile([sys.argv[1]], "x.cache")

def write(step):
    count = 0
    def killed_before(call):
        def killed(*args, **kwargs):
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return killed
    for name in ("open", "write", "fsync", "replace", "close"):
        setattr(os, name, killed_before(getattr(os, name)))
    file.write([b"new, "] * 3)
    os._exit(0)

step, status = 1, -1
while status:
    file.write([b"old"])
    if not (child := os.fork()):
        write(step)
    status = os.waitpid(child, 0)[1]
    assert status in {0, signal.SIGKILL}
    print(file.read().decode())
    step += 1
"""


async def test_a_process_that_is_killed_leaves_the_old_file_or_the_new_one(parent, folder):
    """At whatever step of writing; the file that it had begun is removed later."""
    async with run(*STRICT, "-c", _KILLED, str(parent)) as child:
        code, out = await child.end()
        assert code == 0, child.log
    found = out.splitlines()
    assert len(found) > 7
    assert found == ["old"] * found.count("old") + ["new, new, new, "] * found.count("new, new, new, ")
    assert found.count("old") > 5
    drafts = [name for name in listed(folder) if name.startswith(".tmp.")]
    assert drafts
    for name in drafts:
        os.utime(folder / name, (0, 0))
    CacheFile([str(parent)], "x.cache").write([b"x"])
    assert listed(folder) == ["x.cache"]
