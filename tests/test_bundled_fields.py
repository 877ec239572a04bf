"""The bundled model does what it is for, on a synthetic scene and on a real one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

import geoconvlora
from geoconvlora.evaluate import object_scores
from geoconvlora.inference.network import place, predict_tiles
from geoconvlora.inference.task import Scales
from geoconvlora.synthetic import write_sample
from geoconvlora.synthetic.wilderness import Barren, barren_ground
from geoconvlora.weights.catalogue import bundled_bases, bundled_models

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("GEOCONVLORA_DATA", ROOT.parent / "shared" / "data"))
BELGIUM = DATA / "train" / "field_belgium_s2"
LEAST_AREA_M2 = 2000.0
LIMIT_MB = 30


def predicted_fields(scene: Path, folder: Path) -> gpd.GeoDataFrame:
    out = folder / "predicted.gpkg"
    geoconvlora.predict(scene, out)
    return gpd.read_file(out)


def test_bundled_files_are_small() -> None:
    files = [*bundled_bases().values(), *bundled_models().values()]
    assert sum(path.stat().st_size for path in files) < LIMIT_MB * 2**20


@pytest.mark.slow
def test_fields_of_a_synthetic_landscape_are_found(tmp_path: Path) -> None:
    files = write_sample(tmp_path / "sample", seed=12345, size=320)
    with rasterio.open(files.scene) as scene:
        window = gpd.GeoSeries([shapely.box(*scene.bounds).buffer(-200)], crs=scene.crs)
    scores = object_scores(
        predicted_fields(files.scene, tmp_path),
        gpd.read_file(files.fields),
        windows=window.to_frame("geometry"),
        least_area=LEAST_AREA_M2,
    )
    assert scores.tp + scores.fn > 50
    assert scores.f1 > 0.5


@pytest.mark.slow
@pytest.mark.skipif(not BELGIUM.is_dir(), reason="no real fields: set GEOCONVLORA_DATA")
def test_hand_drawn_fields_of_flanders_are_found(tmp_path: Path) -> None:
    (path,) = BELGIUM.glob("*.tif")
    windows = gpd.read_file(BELGIUM / "label_windows.gpkg")
    with rasterio.open(path) as scene:
        windows = windows[windows.within(shapely.box(*scene.bounds))]
    scores = object_scores(
        predicted_fields(path, tmp_path),
        gpd.read_file(BELGIUM / "fields_polygons.gpkg"),
        windows=windows,
        remnant=0.0,
        least_area=LEAST_AREA_M2,
    )
    assert scores.tp + scores.fn > 100
    assert scores.f1 > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sea", "mountains"])
def test_ground_without_fields_stays_empty(tmp_path: Path, kind: Barren) -> None:
    ground = barren_ground(np.random.default_rng(77), 384, kind)
    pixels = np.clip(ground * 10_000, 1, 65_535).astype(np.uint16)
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=384, width=384, dtype="uint16",
        crs="EPSG:32631", transform=Affine(10, 0, 5e5, 0, -10, 5e6),
    ) as scene:  # fmt: skip
        scene.write(pixels)
    covered = predicted_fields(path, tmp_path).area.sum()
    assert covered < 0.02 * (3840 * 3840)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(bundled_models()))
@pytest.mark.parametrize("precision", ["32", "auto"])
def test_probabilities_do_not_hang_on_the_number_of_threads(name: str, precision: Any) -> None:
    """Workers share threads among them."""
    import torch

    model = geoconvlora.load(name)
    side, before = model.card.tile_size, torch.get_num_threads()
    network, device = place(model.network, "cpu", precision)
    try:
        for count in (1, 2, 3, 4):
            tiles = np.random.default_rng(count).normal(size=(count, 3, side, side))
            found = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                scales = Scales.of(model.card)
                found.append(
                    predict_tiles(network, tiles.astype(np.float32), device, scales=scales)[0]
                )
            np.testing.assert_array_equal(*found)
    finally:
        torch.set_num_threads(before)
