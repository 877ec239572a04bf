"""Code in the README and the documentation does what it says.

Blocks marked ``sh`` and ``python`` are run in order, each page in a folder of its own. One that
cannot be has a line ``<!-- not run: why -->`` above it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = {"sh", "python"}
SHOWN = {"text", "yaml", "bash"}

_BLOCK = re.compile(
    r"^(?P<mark><!-- not run:(?P<why>.*?)-->\n)?^```(?P<kind>\S*)\n(?P<code>.*?)^```$", re.M | re.S
)
_INSTALL = "pip install . && "


@dataclass(frozen=True)
class Block:
    """A code block; ``why`` it is not run, where it is not."""

    kind: str
    code: str
    why: str | None


def blocks(page: Path) -> list[Block]:
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(each["kind"], each["code"], each["why"]) for each in found]


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.kind in RUN and block.why is None]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_whether_it_is_run(page: Path) -> None:
    fences = page.read_text(encoding="utf-8").count("\n```")
    assert fences == 2 * len(blocks(page))
    for block in blocks(page):
        assert block.kind in RUN | SHOWN, block.code
        assert block.why is None or block.why.strip()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda p: p.name)
def test_blocks_run(page: Path, tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    command = f'geoconvlora() {{ "{sys.executable}" -m geoconvlora "$@"; }}\n'
    environment = {**os.environ, "GEOCONVLORA_HOME": str(tmp_path / "home")}
    for block in runnable(page):
        # The tests run in an environment where the package is installed.
        code = block.code.replace(_INSTALL, "")
        program = (
            ["bash", "-euo", "pipefail", "-c", command + code]
            if block.kind == "sh"
            else [sys.executable, "-c", code]
        )
        done = subprocess.run(
            program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
