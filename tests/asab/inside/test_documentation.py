"""The import lines of docs/asab-inside.md work as they are shown, before the change and after it."""

import os
import subprocess

import pytest
from tests.docs.pages import ROOT, Block, blocks
from tests.interop.original import PYTHON

DIFFS = [block for block in blocks("docs/asab-inside.md") if block.language == "diff"]


def lines(block: Block, sign: str) -> str:
    """One side of a diff: the lines that stay, and those with the *sign*."""
    return "\n".join(line[1:] for line in block.text.splitlines() if line[:1] in {" ", sign})


@pytest.mark.parametrize("sign", ["-", "+"])
@pytest.mark.parametrize("block", [pytest.param(block, id=block.where) for block in DIFFS])
def test_both_sides_are_programs_of_the_real_asab(block, sign):
    """The imports and the class; other tests beside this one run such an application."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    program = "import asab\n" + lines(block, sign)
    done = subprocess.run([PYTHON, "-c", program], check=False, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
