from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from cli_inputs import write_scene
from rasterio.transform import Affine
from typer.testing import CliRunner

from geoconvlora.cli import app

CLASSES = [
    {"id": 0, "name": "ground", "color": "#000000"},
    {"id": 1, "name": "crop", "color": "#00ff00"},
]


def write_map(path: Path, east: float) -> Path:
    chance = np.random.default_rng(0).random((6, 8), dtype=np.float32)
    chance = chance.repeat(10, axis=0).repeat(10, axis=1)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=2,
        height=60,
        width=80,
        dtype="float32",
        nodata=np.nan,
        crs="EPSG:32631",
        transform=Affine(10, 0, east, 0, -10, 5_600_000),
    ) as dataset:
        dataset.write(np.stack([chance, 1 - chance]))
        dataset.update_tags(GEOCONVLORA_CLASSES=json.dumps(CLASSES))
    return path


@pytest.fixture
def maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two maps, in the folder that the command runs in."""
    folder = tmp_path / "maps"
    folder.mkdir()
    write_map(folder / "a.tif", 600_000)
    write_map(folder / "b.tif", 600_500)
    monkeypatch.chdir(tmp_path)
    return folder


def call(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return 2, f"{type(done.exception).__name__}: {done.exception}"
    return done.exit_code, done.output


def test_folder_of_maps_becomes_one_map(maps, tmp_path) -> None:
    code, said = call(
        *("mosaic", maps, "-o", "c.tif", "-o", "c.gpkg", "--probs", "p.tif"),
        *("--bounds", "600000,5599400,601300,5600000", "--fade", "10", "--json"),
    )
    assert code == 0
    result = json.loads(said)
    assert (result["height"], result["width"], result["crs"]) == (60, 130, "EPSG:32631")
    assert result["polygons"] == len(gpd.read_file(tmp_path / "c.gpkg"))
    with rasterio.open(tmp_path / "p.tif") as dataset:
        np.testing.assert_allclose(dataset.read().sum(axis=0), 1, atol=1e-5)
    assert {path.name for path in tmp_path.iterdir()} == {"maps", "c.tif", "c.gpkg", "p.tif"}


def test_dry_run_tells_the_grid_and_writes_nothing(maps, tmp_path) -> None:
    code, said = call("mosaic", "maps/*.tif", "-o", "c.tif", "--dry-run", "-v", "--res", "20")
    assert code == 0
    assert "2 maps on 65 x 30 pixels of 20 m in EPSG:32631" in said
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.tif"], "none.tif does not exist"),
        (["none/*.tif"], "matches no file"),
        (["maps", "--merge", "sum"], "merge 'sum' is unknown: give blend"),
        (["maps", "--bounds", "1,2"], "--bounds 1,2: give four numbers"),
        (["maps", "--dst-crs", "Mars"], "'Mars' is no coordinate system"),
        (["maps", "--classes", "sea"], "no class 'sea'"),
        (["maps", "--classes", " , "], "--classes names none"),
        (["maps", "maps/a.tif"], "a.tif is given twice"),
    ],
)
def test_what_cannot_work_is_refused(maps, tmp_path, arguments, says) -> None:
    code, said = call("mosaic", *arguments, "-o", "c.gpkg")
    assert code == 2
    assert says in said
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]


def test_predict_takes_several_scenes(run, model_file, tmp_path) -> None:
    for name, east in (("a", 600_000), ("b", 600_600)):
        write_scene(tmp_path / f"{name}.tif")
        with rasterio.open(tmp_path / f"{name}.tif", "r+") as dataset:
            dataset.transform = Affine(10, 0, east, 0, -10, 5_600_000)
    (tmp_path / "scenes.txt").write_text("a.tif\nb.tif\n")
    done = run(
        *("predict", "scenes.txt", "-m", model_file, "-o", "map.gpkg", "-o", "map.tif"),
        *("--dst-crs", "EPSG:3035", "--device", "cpu", "--json"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["scenes"] == ["a.tif", "b.tif"]
    assert gpd.read_file(tmp_path / "map.gpkg").crs.to_epsg() == 3035
