"""The settings of a ZooKeeper registry, from its URL and the environment."""

from contextlib import suppress
from dataclasses import FrozenInstanceError
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.backends.zookeeper.support import everything_shown

from peerage.backends.zookeeper.location import Credentials, Location, parse
from peerage.backends.zookeeper.tls import Tls
from peerage.errors import ConfigurationError

SECRET = "hunter2-s3cret"
ME = f"me:{SECRET}@"


def refusal(url, environ=None):
    with pytest.raises(ConfigurationError) as caught:
        parse(url, environ or {})
    return caught.value


class TestWhatItReads:
    def test_the_least_is_one_host(self):
        assert parse("zookeeper://zk-1", {}) == Location(
            hosts="zk-1:2181",
            path="/asab",
            session_timeout=10.0,
            credentials=None,
            tls=None,
            acl="open",
            explicit_acl=False,
            url="zookeeper://zk-1:2181/asab",
        )

    def test_everything_at_once(self):
        location = parse(
            "zookeeper+tls://me:p%40ss%2F:word@ZK-1:2281,[::0:1],10.0.0.1:02181/a/b%20c/"
            "?session_timeout=4.5&auth=sasl&acl=open&ca=/ca+1.pem&cert=/me.pem&key=/me%26key.pem&check_hostname=no",
            {},
        )
        assert location.hosts == "zk-1:2281,[::1]:2181,10.0.0.1:2181"
        assert location.path == "/a/b c"
        assert location.folder == "/a/b c/run"
        assert location.session_timeout == 4.5
        assert location.credentials == Credentials("sasl", "me", "p@ss/:word")
        assert location.tls == Tls("/ca+1.pem", "/me.pem", "/me&key.pem", check_hostname=False)
        assert (location.acl, location.explicit_acl) == ("open", True)
        assert location.url == (
            "zookeeper+tls://zk-1:2281,[::1]:2181,10.0.0.1:2181/a/b%20c?session_timeout=4.5&acl=open"
        )

    @pytest.mark.parametrize(
        ("text", "path", "folder"),
        [
            ("", "/asab", "/asab/run"),
            ("/", "", "/run"),
            ("/asab/", "/asab", "/asab/run"),
            ("/a/zookeeper", "/a/zookeeper", "/a/zookeeper/run"),
            ("/%C3%A9%2541", "/é%41", "/é%41/run"),
        ],
    )
    def test_path(self, text, path, folder):
        location = parse(f"zookeeper://zk{text}", {})
        assert (location.path, location.folder) == (path, folder)

    def test_credentials_make_nodes_the_creators(self):
        location = parse(f"zookeeper://{ME}zk", {})
        assert (location.acl, location.explicit_acl) == ("creator", False)
        assert location.credentials == Credentials("digest", "me", SECRET)

    def test_a_written_option_is_explicit_even_with_its_default(self):
        assert parse(f"zookeeper://{ME}zk?acl=creator", {}).explicit_acl
        assert parse("zookeeper://zk?acl=open", {}).explicit_acl
        assert parse("zookeeper://zk", {"PEERAGE_ZOOKEEPER_ACL": "open"}).explicit_acl

    def test_tls_verifies_names_by_default(self):
        assert parse("zookeeper+tls://zk", {}).tls == Tls(None, None, None, None, check_hostname=True)
        assert parse("zookeeper+tls://zk?check_hostname=yes", {}).tls == Tls(None, None, None)

    def test_it_cannot_be_changed(self):
        with pytest.raises(FrozenInstanceError):
            parse("zookeeper://zk", {}).acl = "open"

    def test_the_environment_of_the_process_is_the_default(self, monkeypatch):
        monkeypatch.setenv("PEERAGE_ZOOKEEPER_USER", "me")
        monkeypatch.setenv("PEERAGE_ZOOKEEPER_PASSWORD", SECRET)
        assert parse("zookeeper://zk").credentials == Credentials("digest", "me", SECRET)


ENVIRON = {
    "PEERAGE_ZOOKEEPER_USER": "env",
    "PEERAGE_ZOOKEEPER_PASSWORD": "p%41:@/",
    "PEERAGE_ZOOKEEPER_AUTH": "sasl",
    "PEERAGE_ZOOKEEPER_ACL": "open",
    "PEERAGE_ZOOKEEPER_CA": "/env/ca",
    "PEERAGE_ZOOKEEPER_CERT": "/env/cert",
    "PEERAGE_ZOOKEEPER_KEY": "/env/key",
    "PEERAGE_ZOOKEEPER_KEY_PASSWORD": SECRET,
}


class TestTheEnvironment:
    def test_adds_what_the_url_leaves_open(self):
        location = parse("zookeeper+tls://zk", ENVIRON)
        assert location.credentials == Credentials("sasl", "env", "p%41:@/")
        assert location.acl == "open"
        assert location.tls == Tls("/env/ca", "/env/cert", "/env/key", SECRET)

    def test_the_url_wins(self):
        location = parse(
            f"zookeeper+tls://{ME}zk?auth=digest&acl=creator&ca=/ca&cert=/cert&key=/key", ENVIRON
        )
        assert location.credentials == Credentials("digest", "me", SECRET)
        assert location.acl == "creator"
        assert location.tls == Tls("/ca", "/cert", "/key", SECRET)

    def test_without_tls_the_files_are_ignored(self):
        assert parse("zookeeper://zk", ENVIRON).tls is None

    def test_a_user_in_the_url_and_the_password_outside(self):
        for user in ("me@", "me:@"):
            assert parse(f"zookeeper://{user}zk", ENVIRON).credentials == Credentials("sasl", "me", "p%41:@/")

    def test_an_empty_variable_is_not_set(self):
        assert parse("zookeeper+tls://zk", dict.fromkeys(ENVIRON, "")) == parse("zookeeper+tls://zk", {})

    def test_password_file(self, tmp_path):
        file = tmp_path / "password"
        file.write_text(f"  {SECRET} \r\nanother line\n")
        environ = {"PEERAGE_ZOOKEEPER_PASSWORD_FILE": str(file)}
        assert parse("zookeeper://me@zk", environ).credentials == Credentials("digest", "me", SECRET)
        # It is read only where it is needed.
        file.unlink()
        assert parse("zookeeper://me:other@zk", environ).credentials == Credentials("digest", "me", "other")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, r"can't be read \(No such file or directory\)"),
            (b"", "empty first line"),
            (f"\n{SECRET}".encode(), "empty first line"),
            (SECRET.encode() + b"\xff", "isn't UTF-8 text"),
            (SECRET.encode() * 1000, "first line of over 4096 characters"),
        ],
    )
    def test_password_file_that_has_none(self, tmp_path, content, message):
        # The file's name may be a password that was put into the wrong variable.
        file = tmp_path / SECRET
        if content is not None:
            file.write_bytes(content)
        error = refusal("zookeeper://me@zk", {"PEERAGE_ZOOKEEPER_PASSWORD_FILE": str(file)})
        with pytest.raises(ConfigurationError, match=message):
            raise error
        assert "PEERAGE_ZOOKEEPER_PASSWORD_FILE" in str(error)
        assert SECRET not in everything_shown(error)

    def test_password_file_that_is_none(self, tmp_path):
        for name in (str(tmp_path), f"{SECRET}\0"):
            error = refusal("zookeeper://me@zk", {"PEERAGE_ZOOKEEPER_PASSWORD_FILE": name})
            assert "name a file that this user may read" in str(error)
            assert SECRET not in everything_shown(error)

    @pytest.mark.parametrize(
        ("url", "environ", "message"),
        [
            ("zookeeper://zk", {"PASSWORD": SECRET}, "password but no user"),
            ("zookeeper://zk", {"PASSWORD_FILE": "/nowhere"}, "password but no user"),
            ("zookeeper://zk", {"USER": "me"}, "user but no password"),
            ("zookeeper://zk", {"AUTH": SECRET}, "PEERAGE_ZOOKEEPER_AUTH: .* digest or sasl"),
            ("zookeeper://zk", {"AUTH": "sasl"}, "auth=sasl needs credentials"),
            ("zookeeper://zk", {"ACL": SECRET}, "PEERAGE_ZOOKEEPER_ACL: .* open or creator"),
            ("zookeeper://zk", {"ACL": "creator"}, "acl=creator needs credentials"),
            ("zookeeper://me@zk", {"PASSWORD": f"{SECRET}\udcff"}, "PEERAGE_ZOOKEEPER_PASSWORD isn't UTF-8"),
            ("zookeeper://zk", {"USER": "\udcff", "PASSWORD": SECRET}, "PEERAGE_ZOOKEEPER_USER isn't UTF-8"),
            ("zookeeper+tls://zk", {"KEY": "/key"}, "key but no certificate.*cert=.*PEERAGE_ZOOKEEPER_CERT"),
            ("zookeeper+tls://zk", {"KEY_PASSWORD": f"{SECRET}\udcff"}, "KEY_PASSWORD isn't UTF-8"),
        ],
    )
    def test_what_cannot_work(self, url, environ, message):
        error = refusal(url, {f"PEERAGE_ZOOKEEPER_{name}": value for name, value in environ.items()})
        with pytest.raises(ConfigurationError, match=message):
            raise error
        assert SECRET not in everything_shown(error)


BAD = [
    # Its beginning.
    (f"zookeeper:{ME}zk", "begins with zookeeper://"),
    (f"zk://{ME}zk", "begins with zookeeper://"),
    (f"{ME}zk", "begins with zookeeper://"),
    ("", "begins with zookeeper://"),
    # Hosts.
    (f"zookeeper://{ME}", "has no host: write zookeeper://zk-1:2181,zk-2:2181/asab"),
    (f"zookeeper://{ME}/asab", "has no host"),
    ("zookeeper:///asab", "has no host"),
    (f"zookeeper://{ME}?acl=open", "has no host"),
    (f"zookeeper://{ME}zk-1,,zk-2", "Host 2 of the URL is empty"),
    (f"zookeeper://{ME}zk-1,", "Host 2 of the URL is empty"),
    (f"zookeeper://{ME},zk-1", "Host 1 of the URL is empty"),
    (f"zookeeper://{ME}zk:", "Host 1 of the URL can't be read: write host:port"),
    (f"zookeeper://{ME}zk:port", "Host 1 of the URL can't be read"),
    (f"zookeeper://{ME}zk:-1", "Host 1 of the URL can't be read"),
    (f"zookeeper://{ME}zk:٣", "Host 1 of the URL can't be read"),
    (f"zookeeper://{ME}zk-1, zk-2", "Host 2 of the URL can't be read"),
    (f"zookeeper://{ME}::1", "Host 1 of the URL can't be read.*as .::1.:2181"),
    (f"zookeeper://{ME}z..k", "Host 1 of the URL can't be read"),
    (f"zookeeper://{ME}\u212a", "Host 1 of the URL can't be read"),
    (f"zookeeper://{ME}zk:0", "port of host 1 of the URL can't be: write one of 1 to 65535"),
    (f"zookeeper://{ME}zk:65536", "port of host 1"),
    (f"zookeeper://{ME}[::g]", "Host 1 of the URL can't be read"),
    (f"zookeeper://{ME}[1:2]", "Host 1 of the URL isn't an IPv6 address"),
    # Passwords.
    (f"zookeeper://me:{SECRET}", "Host 1 of the URL can't be read.*user:password@ before the first host"),
    (f"zookeeper://me:{SECRET}/asab", "Host 1 of the URL can't be read"),
    (f"zookeeper://me:/{SECRET}@zk", "%2F for '/'"),
    (f"zookeeper://me:1?{SECRET}@zk", "%3F for '\\?'"),
    (f"zookeeper://me:1#{SECRET}@zk", "%23 for '#'"),
    (f"zookeeper://me:@{SECRET}@zk", "%40 for '@'"),
    (f"zookeeper://me:100%{SECRET}@zk", "A '%' in the password of the URL .* write %25"),
    (f"zookeeper://{SECRET}%:1@zk", "A '%' in the user of the URL"),
    (f"zookeeper://me:%ff{SECRET}@zk", "password of the URL isn't UTF-8"),
    (f"zookeeper://me:1?{SECRET}", "Option 1 of the URL"),
    (f"zookeeper://me:1#{SECRET}", "no '#' part"),
    # Credentials.
    (f"zookeeper://:{SECRET}@zk", "password but no user: write .* or set PEERAGE_ZOOKEEPER_USER"),
    ("zookeeper://me@zk", "user but no password: write .* PEERAGE_ZOOKEEPER_PASSWORD_FILE"),
    ("zookeeper://me:@zk", "user but no password"),
    (f"zookeeper://m%3Ae:{SECRET}@zk", "user has a ':'"),
    ("zookeeper://zk?acl=creator", "acl=creator needs credentials.*or write acl=open"),
    ("zookeeper://zk?auth=sasl", "auth=sasl needs credentials"),
    # The path.
    (f"zookeeper://{ME}zk/./a", "Component 1 of the URL's path is '.' or '..'"),
    (f"zookeeper://{ME}zk/a/..", "Component 2 of the URL's path is '.' or '..'"),
    (f"zookeeper://{ME}zk/a/%2E%2E/", "Component 2 of the URL's path is '.' or '..'"),
    (f"zookeeper://{ME}zk//a", "Component 1 of the URL's path is empty"),
    (f"zookeeper://{ME}zk/a//", "Component 2 of the URL's path is empty"),
    (f"zookeeper://{ME}zk//", "Component 1 of the URL's path is empty"),
    (f"zookeeper://{ME}zk/a%2Fb", "Component 1 of the URL's path has a '/'"),
    (f"zookeeper://{ME}zk/a%00", "control character"),
    (f"zookeeper://{ME}zk/a\tb", "control character"),
    (f"zookeeper://{ME}zk/a/%C2%85", "Component 2 of the URL's path has a control character"),
    (f"zookeeper://{ME}zk/\U0001f600", "ZooKeeper refuses"),
    (f"zookeeper://{ME}zk/\udcff", "path of the URL isn't UTF-8"),
    (f"zookeeper://{ME}zk/a%zz", "A '%' in the path of the URL"),
    (f"zookeeper://{ME}zk/zookeeper", "Component 1 of the URL's path is 'zookeeper'"),
    (f"zookeeper://{ME}zk/%7Aookeeper/a", "Component 1 of the URL's path is 'zookeeper'"),
    # Options.
    (
        f"zookeeper://{ME}zk?timeout=5",
        "Option 1 of the URL isn't one of ZooKeeper's: write session_timeout, auth or acl;",
    ),
    (f"zookeeper://{ME}zk?acl=open&password={SECRET}", "Option 2 of the URL .*PEERAGE_ZOOKEEPER_PASSWORD"),
    (f"zookeeper://zk?{SECRET}", "Option 1 of the URL"),
    (f"zookeeper://zk?{SECRET}=1", "Option 1 of the URL"),
    (f"zookeeper+tls://{ME}zk?tls=1", "write session_timeout, auth, acl, ca, cert, key or check_hostname;"),
    (f"zookeeper://{ME}zk?acl=open&acl=open", "has the option acl twice"),
    (f"zookeeper://{ME}zk?acl", "option acl has no value"),
    (f"zookeeper://{ME}zk?acl=", "option acl has no value"),
    (f"zookeeper://{ME}zk?acl={SECRET}", "option acl is one of two: write open or creator"),
    (f"zookeeper://{ME}zk?auth={SECRET}", "option auth is one of two: write digest or sasl"),
    (f"zookeeper://{ME}zk?acl=%", "A '%' in the option acl of the URL"),
    *(
        (
            f"zookeeper://{ME}zk?session_timeout={text}",
            "number of seconds from 0.4 to 600: write session_timeout=10",
        )
        for text in ("0.39", "600.1", "nan", "inf", "-1", "1e1", "1_0", "10s", SECRET)
    ),
    *(
        (f"zookeeper://{ME}zk?{option}=/file", f"option {option} is for TLS: write zookeeper\\+tls://")
        for option in ("ca", "cert", "key", "check_hostname")
    ),
    (f"zookeeper+tls://{ME}zk?check_hostname=off", "option check_hostname is one of two: write yes or no"),
    (f"zookeeper+tls://{ME}zk?key=/key", "key but no certificate"),
    (f"zookeeper://{ME}zk#asab", "no '#' part"),
]


@pytest.mark.parametrize(("url", "message"), BAD)
def test_a_url_that_cannot_work(url, message):
    """The message says what is wrong, and no part of the error has the password."""
    error = refusal(url)
    with pytest.raises(ConfigurationError, match=message):
        raise error
    assert SECRET not in everything_shown(error)


words = st.text("abcXYZ019-_", min_size=1, max_size=8)
path_words = st.text(
    st.characters(max_codepoint=0xD7FF, exclude_characters="/", exclude_categories=("Cc",)), min_size=1
).filter(lambda word: word not in {".", "..", "zookeeper"})
hosts = st.one_of(words, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map("[{}]".format))
servers = st.builds("{}{}".format, hosts, st.one_of(st.just(""), st.integers(1, 65535).map(":{}".format)))
texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)


@st.composite
def urls(draw):
    credentials = draw(st.none() | st.tuples(texts.filter(lambda user: ":" not in user), texts))
    tls = draw(st.booleans())
    options = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "session_timeout": st.floats(0.4, 600).map(lambda seconds: f"{seconds:.6f}"),
                "acl": st.sampled_from(["open", "creator"] if credentials else ["open"]),
                "auth": st.sampled_from(["digest", "sasl"] if credentials else ["digest"]),
                **({"ca": path_words, "cert": path_words, "check_hostname": st.just("no")} if tls else {}),
            },
        )
    )
    user = ":".join(quote(text, safe="") for text in credentials) + "@" if credentials else ""
    path = draw(
        st.sampled_from(["", "/"]) | st.lists(path_words, min_size=1).map(lambda found: "/" + "/".join(found))
    )
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
    listed = ",".join(draw(st.lists(servers, min_size=1, max_size=4)))
    return f"zookeeper{'+tls' * tls}://{user}{listed}{quote(path)}?{query}", path, credentials


class TestNormalForm:
    @given(urls())
    def test_is_its_own_normal_form(self, example):
        url, path, credentials = example
        location = parse(url, {})
        again = parse(location.url, {})
        assert again.url == location.url
        assert (again.hosts, again.path, again.session_timeout) == (
            location.hosts,
            location.path,
            location.session_timeout,
        )
        assert location.path == {"": "/asab", "/": ""}.get(path, path)
        assert "@" not in location.url
        if credentials:
            assert location.credentials is not None
            assert (location.credentials.user, location.credentials.password) == credentials
        assert again.credentials is None

    @given(st.text(), st.sampled_from(["zookeeper://", "zookeeper+tls://", ""]))
    def test_whatever_else_is_refused_as_configuration(self, text, start):
        with suppress(ConfigurationError):
            parse(start + text, {})

    @given(
        st.lists(st.sampled_from([SECRET, *"/?#@:%[],=&.", "zk", "acl", "2181"]), max_size=12).map("".join)
    )
    def test_no_refusal_repeats_a_password_at_any_position(self, text):
        shown = ""
        try:
            parse("zookeeper://me:" + text, {})
        except ConfigurationError as error:
            shown = everything_shown(error)
        assert SECRET not in shown


class TestSecrecy:
    @given(texts.map(lambda text: f"<{text}>"))
    def test_no_password_is_shown(self, password):
        location = parse(
            f"zookeeper+tls://me:{quote(password, safe='')}@zk", {"PEERAGE_ZOOKEEPER_KEY_PASSWORD": password}
        )
        assert location.credentials is not None
        assert location.credentials.password == password
        assert location.tls is not None
        assert location.tls.password == password
        for shown in (
            repr(location),
            str(location),
            location.url,
            repr(location.tls),
            f"{location.credentials}",
        ):
            assert password not in shown
            assert repr(password)[1:-1] not in shown
            assert quote(password) not in shown
