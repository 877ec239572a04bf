"""Date and model reach polygons by every way that leads from a scene to them."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
from cli_inputs import write_scene

from geoconvlora.weights import sha256_of

DATES = {"a": "2023:05:01 10:00:00", "b": "2023:06:01"}
FIRST, BOTH = "2023-05-01T10:00:00", "2023-05-01T10:00:00/2023-06-01"


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    """Two scenes of different dates, the second half a scene to the east."""
    paths = [write_scene(tmp_path / f"{name}.tif") for name in DATES]
    for path in paths:
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(TIFFTAG_DATETIME=DATES[path.stem])
    with rasterio.open(paths[1], "r+") as dataset:
        dataset.transform = dataset.transform @ dataset.transform.translation(50, 0)
    return paths


@pytest.fixture
def origin_of(tmp_path: Path, model_file: Path):
    """Dates of a layer, whose models must be the one that made it."""

    def read(name: str) -> set[str]:
        layer = gpd.read_file(tmp_path / name)
        assert set(layer["model"]) == {"test"}
        assert set(layer["model_sha256"]) == {sha256_of(model_file)}
        return set(layer["date"])

    return read


def test_of_one_scene(run, scenes, model_file, origin_of) -> None:
    outputs = ("-o", "map.gpkg", "-o", "map.tif", "--probs", "p.tif", "-q")
    for step in (
        ("predict", scenes[0], "-m", model_file, *outputs),
        ("polygonize", "map.tif", "-o", "classes.gpkg", "-q"),
        ("mosaic", "p.tif", "-o", "probs.gpkg", "-q"),
    ):
        assert run(*step).returncode == 0
    for name in ("map.gpkg", "classes.gpkg", "probs.gpkg"):
        assert origin_of(name) == {FIRST}


def test_of_several_scenes_and_of_their_mosaic(run, scenes, model_file, origin_of) -> None:
    model = ("-m", model_file, "-q")
    for step in (
        ("predict", *scenes, *model, "-o", "both.gpkg", "-o", "both.tif"),
        ("polygonize", "both.tif", "-o", "again.gpkg", "-q"),
        ("predict", scenes[0], *model, "-o", "map_a.tif"),
        ("predict", scenes[1], *model, "-o", "map_b.tif"),
        ("mosaic", "map_a.tif", "map_b.tif", "-o", "mosaic.gpkg", "-o", "mosaic.tif", "-q"),
        ("polygonize", "mosaic.tif", "-o", "mosaic_again.gpkg", "-q"),
    ):
        done = run(*step)
        assert done.returncode == 0, done.stderr
    for name in ("both.gpkg", "mosaic.gpkg"):
        assert BOTH in origin_of(name) <= {FIRST, "2023-06-01", BOTH}
    for name in ("again.gpkg", "mosaic_again.gpkg"):
        assert origin_of(name) == {BOTH}
