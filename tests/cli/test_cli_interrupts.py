import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from cli_inputs import ROOT
from rasterio.transform import Affine


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    """A command that Ctrl-C reaches, also where a shell has put the tests into the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "geoconvlora", *map(str, arguments)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_earlier_outputs_and_no_temporary_file(
    tmp_path: Path, model_file: Path, number: signal.Signals
) -> None:
    scene, folder = tmp_path / "scene.tif", tmp_path / "out"
    with rasterio.open(
        scene,
        "w",
        driver="GTiff",
        count=3,
        height=3000,
        width=1000,
        dtype="uint8",
        crs="EPSG:32631",
        transform=Affine(10, 0, 600_000, 0, -10, 5_600_000),
    ) as dataset:
        dataset.write(np.random.default_rng(0).integers(1, 250, (3, 3000, 1000), dtype=np.uint8))
    folder.mkdir()
    (folder / "map.gpkg").write_text("earlier")
    outputs = ["-o", folder / "map.gpkg", "-o", folder / "map.tif", "--overwrite"]
    command = ["predict", scene, "-m", model_file, *outputs]
    run = started(*command)
    while run.poll() is None and not list(folder.glob(".map.gpkg*.part.gpkg")):
        time.sleep(0.1)
    run.send_signal(number)
    said = run.communicate(timeout=200)[1]
    assert run.returncode == 128 + number, said
    # On a new machine it says before that it compiles.
    assert said.splitlines()[-1] == "Interrupted: nothing was written under the output's name."
    assert [path.name for path in folder.iterdir()] == ["map.gpkg"]
    assert (folder / "map.gpkg").read_text() == "earlier"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_sample_leaves_no_folder_of_its_own(
    tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "demo"
    run = started("sample", folder, "--size", "20000x300")
    while run.poll() is None and not list(folder.glob(".fields.*.part.gpkg")):
        time.sleep(0.1)
    run.send_signal(number)
    said = run.communicate(timeout=200)[1]
    assert run.returncode == 128 + number
    assert said.splitlines()[-1] == "Interrupted: nothing was written under the output's name."
    assert list(tmp_path.iterdir()) == []
