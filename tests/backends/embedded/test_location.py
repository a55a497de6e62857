"""URLs of embedded registries."""

import os
from pathlib import Path

import pytest

from peerage.backends.embedded import open_embedded
from peerage.errors import ConfigurationError
from peerage.registry import open_registry


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("embedded:", f"embedded:///tmp/peerage-{os.geteuid()}"),
        ("embedded:?path=/asab", f"embedded:///tmp/peerage-{os.geteuid()}"),
        ("embedded:?path=other", f"embedded:///tmp/peerage-{os.geteuid()}?path=/other"),
        ("embedded:///var/lib/x/", "embedded:///var/lib/x"),
        ("embedded:/var//lib/./x", "embedded:///var/lib/x"),
        ("embedded:///a%20b?path=/some/other", "embedded:///a%20b?path=/some/other"),
        ("embedded:///srv/peerage?group=services", "embedded:///srv/peerage?group=services"),
        (
            "embedded:///srv/peerage?group=the%20staff&path=b",
            "embedded:///srv/peerage?path=/b&group=the%20staff",
        ),
    ],
)
def test_urls_have_a_normal_form(url, normal):
    assert open_registry(url).url == normal
    assert open_registry(normal).url == normal


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("embedded://host/folder", "three slashes"),
        ("embedded://user:password@/folder", "three slashes"),
        ("embedded:folder", "absolute path"),
        ("embedded:///a/../b", "without '..'"),
        ("embedded:///a%00b", "absolute path"),
        ("embedded:///", "root folder"),
        ("embedded:#x", "no '#' part"),
        ("embedded:?depth=1", "options 'path' and 'group', each once, not 'depth'"),
        ("embedded:?path=a&path=b", "each once"),
        ("embedded:///a?group=a&group=b", "each once"),
        ("embedded:///a?group=", "name or number"),
        ("embedded:///a?group=%00", "name or number"),
        ("embedded:?group=services", "names a group and no folder"),
        ("embedded:?path=", "can't be the path"),
        ("embedded:?path=/a/../b", "can't be the path"),
        ("embedded:?path=/a%25b", "can't be the path"),
        ("embedded:?path=/" + "x" * 300, "can't be the path"),
    ],
)
def test_the_error_of_an_invalid_url_says_what_to_write(url, advice):
    with pytest.raises(ConfigurationError, match=advice) as caught:
        open_registry(url)
    assert "password" not in str(caught.value)


def test_the_environment_can_name_the_folder(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    assert "/run/user" not in open_embedded("embedded:").url
    monkeypatch.setenv("PEERAGE_DIR", "/var/lib/mine")
    assert open_embedded("embedded:").url == "embedded:///var/lib/mine"
    assert open_embedded("embedded:///other").url == "embedded:///other"
    monkeypatch.setenv("PEERAGE_GROUP", "services")
    assert open_embedded("embedded:?path=b").url == "embedded:///var/lib/mine?path=/b&group=services"
    assert open_embedded("embedded:///other").url == "embedded:///other"
    monkeypatch.setenv("PEERAGE_DIR", "")
    with pytest.raises(ConfigurationError, match="set PEERAGE_DIR to the folder that the group shares"):
        open_embedded("embedded:")
    monkeypatch.setenv("PEERAGE_DIR", "relative")
    with pytest.raises(ConfigurationError, match="PEERAGE_DIR"):
        open_embedded("embedded:")


async def test_opening_and_closing_touch_nothing(tmp_path: Path):
    registry = open_embedded(f"embedded://{tmp_path}/registry")
    await registry.aclose()
    assert not (tmp_path / "registry").exists()
