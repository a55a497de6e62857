"""The configuration files in the documentation are valid, and blocks in other languages aren't there."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.backends.zookeeper.test_tls import secured
from tests.docs import manifests
from tests.docs.pages import ROOT, Block, all_blocks, blocks, is_read, pages, text_of

#: Blocks of these are tested elsewhere: diffs are in docs/asab-inside.md only, and a text is shown, not used.
ELSEWHERE = {"console", "diff", "python", "text"}


def load(block: Block) -> list[Any]:
    """The documents of a block."""
    match block.language:
        case "json":
            return [json.loads(block.text)]
        case "toml":
            return [tomllib.loads(block.text)]
        case "yaml":
            return [document for document in yaml.safe_load_all(block.text) if document]
    raise AssertionError(f"{block.where}: nothing tests blocks in {block.language!r}")


FILES = [block for page in pages() for block in blocks(page) if block.language not in {*ELSEWHERE, "ini"}]
UNITS = [block for block in all_blocks("ini") if "[Unit]" in block.text or "[Service]" in block.text]


@pytest.mark.parametrize("block", [pytest.param(block, id=block.where) for block in FILES])
def test_a_file_is_valid(block):
    """It is parsed; a manifest of Kubernetes or a compose file has the fields that it needs and no others."""
    documents = load(block)
    assert documents
    for document in documents:
        if block.language == "yaml":
            assert manifests.problems(document) == []


@pytest.mark.parametrize("name", sorted(set(re.findall(r"PEERAGE_[A-Z_]+", text_of("docs/deployment.md")))))
def test_a_variable_is_read(name):
    """Those in units and manifests, too."""
    assert is_read(name)


def test_tls_is_set_up_as_in_the_tests():
    """With the options of a server that tests/backends/zookeeper/test_tls.py starts."""
    (block,) = (block for block in blocks("docs/deployment.md") if "secureClientPort" in block.text)
    options = dict(line.split("=", 1) for line in block.text.splitlines())
    tested = secured(Path("/etc/zookeeper"), 2281)
    del tested["secureClientPortAddress"]  # loopback, in the tests
    tested["ssl.keyStore.location"] = "/etc/zookeeper/server.pem"
    assert options == tested


def test_the_compose_file_is_a_part_of_the_example():
    """So there is one of them."""
    (block,) = (block for block in blocks("docs/deployment.md") if block.text.startswith("x-zookeeper"))
    example = yaml.safe_load((ROOT / "examples/containers/compose.yaml").read_text(encoding="utf-8"))
    for key, value in load(block)[0].items():
        assert value.items() <= example[key].items()


def test_ini_files_are_units():
    """Others would need a test."""
    assert len(UNITS) == len(all_blocks("ini"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd isn't installed")
@pytest.mark.parametrize("block", [pytest.param(block, id=block.where) for block in UNITS])
def test_systemd_accepts_a_unit(block, tmp_path):
    """Without a warning; its program and its user are replaced by some that exist here."""
    text = re.sub(r"^(ExecStart=)\S+", rf"\g<1>{sys.executable}", block.text, flags=re.MULTILINE)
    text = re.sub(r"^(User=).*", r"\1root", text, flags=re.MULTILINE)
    name = "orders@1.service" if "%i" in text else "orders.service"
    (tmp_path / name).write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / name)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
