from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "geoconvlora", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view") / "demo"
    assert command("sample", folder, "--size", "96").returncode == 0
    return folder


def test_view_writes_one_page_and_says_so(demo: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = command("view", demo / "scene.tif", demo / "mask.tif", demo / "fields.gpkg", "-o", page)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"wrote {page} (")
    assert list(tmp_path.iterdir()) == [page]


def test_view_says_on_stderr_what_it_reduced(demo: Path, tmp_path: Path) -> None:
    done = command(
        "view", demo / "fields.gpkg", "-o", tmp_path / "a.html", "--max-polygons", "3", "--json"
    )
    assert done.stderr.startswith("Reduced: fields.gpkg: the 3 largest of ")
    assert json.loads(done.stdout)["polygons"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.tif"], "gone.tif does not exist"),
        (["{demo}/scene.tif", "--bands", "red"], "give band numbers"),
        (["{demo}/scene.tif", "--bands", "1,2"], "takes one band or three"),
        (["{demo}/scene.tif", "-o", "page.txt"], "a name that ends in .html"),
        (["{demo}/scene.tif", "-o", "gone/page.html"], "does not exist"),
    ],
)
def test_view_refuses_in_one_sentence(
    demo: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    filled = [each.format(demo=demo) for each in arguments]
    out = [] if "-o" in filled else ["-o", str(tmp_path / "page.html")]
    done = command("view", *filled, *out)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_view_never_loads_torch(demo: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from geoconvlora.explore.page import view; "
        "view(sys.argv[1:3], sys.argv[3]); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, demo / "scene.tif", demo / "fields.gpkg", tmp_path / "a.html"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
