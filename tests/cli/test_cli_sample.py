from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rasterio


def sample(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "geoconvlora", "sample", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_sample_writes_three_files_and_says_where(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = sample(
        str(folder), "--size", "40x60", "--bands", "3", "--dtype", "uint8", "--crs", "EPSG:2056",
        "--gsd", "5", "--seed", "3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        str(folder / name) for name in ("scene.tif", "fields.gpkg", "mask.tif")
    ]
    with rasterio.open(folder / "scene.tif") as scene:
        assert (scene.shape, scene.count, scene.dtypes[0]) == ((40, 60), 3, "uint8")
        assert scene.crs.to_epsg() == 2056
        assert scene.res == (5.0, 5.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "axb"], "HEIGHTxWIDTH"),
        (["--crs", "EPSG:4326"], "not projected"),
        (["--bands", "7"], "bands"),
        (["--gsd", "-1"], "gsd"),
    ],
)
def test_sample_refuses_with_exit_code_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = sample(str(tmp_path / "demo"), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "demo").exists()


def test_quiet_says_nothing_and_verbose_more(tmp_path: Path) -> None:
    quiet = sample(str(tmp_path / "quiet"), "--size", "16", "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    verbose = sample(str(tmp_path / "verbose"), "--size", "16", "-v")
    assert "16 x 16 pixels of 10 m" in verbose.stdout
