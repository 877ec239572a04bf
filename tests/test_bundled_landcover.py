"""The bundled land cover model maps an aerial image, and a place that it never saw."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

import geoconvlora
from geoconvlora.evaluate import class_iou, confusion

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("GEOCONVLORA_DATA", ROOT.parent / "shared" / "data"))
DUBAI = DATA / "train" / "landcover_dubai_rgb"


def test_dark_blue_water_and_bright_sand_are_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    image = np.empty((3, 320, 320), np.float32)
    image[:, :, :160] = np.array([20, 30, 35])[:, None, None]
    image[:, :, 160:] = np.array([215, 200, 180])[:, None, None]
    image += rng.normal(0, 3, image.shape)
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=320, width=320, dtype="uint8",
        crs="EPSG:32640", transform=Affine(1, 0, 300_000, 0, -1, 2_800_000),
    ) as raster:  # fmt: skip
        raster.write(image.clip(0, 255).astype(np.uint8))
    geoconvlora.predict(path, tmp_path / "classes.tif", model="landcover")
    with rasterio.open(tmp_path / "classes.tif") as raster:
        found = raster.read(1)
    names = [c.name for c in geoconvlora.load("landcover").card.classes]
    assert (found[:, :140] == names.index("water")).mean() > 0.8
    assert (found[:, 180:] == names.index("land")).mean() > 0.8


@pytest.mark.slow
@pytest.mark.skipif(not DUBAI.is_dir(), reason="no aerial images: set GEOCONVLORA_DATA")
def test_a_place_that_it_never_saw(tmp_path: Path) -> None:
    script = [sys.executable, ROOT / "scripts" / "dubai_tiles.py", DUBAI, tmp_path, "--all"]
    subprocess.run(script, check=True, timeout=200)
    scene, truth = tmp_path / "test" / "tile1.tif", tmp_path / "test" / "tile1_labels.tif"
    geoconvlora.predict(scene, tmp_path / "classes.tif", model="landcover")
    with rasterio.open(tmp_path / "classes.tif") as raster, rasterio.open(truth) as labels:
        counts = confusion(raster.read(1), labels.read(1), 5)
    assert np.mean(class_iou(counts)) > 0.45
