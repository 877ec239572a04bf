from __future__ import annotations

import numpy as np
import rasterio
from rasterio import Affine

from geoconvlora.inference import predict
from geoconvlora.inference.scene_mapper import SceneMapper
from geoconvlora.weights.card import Resolution


def test_map_in_memory_is_the_map_that_predict_writes(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    model, scene, probs = make_model(), write_scene(patchwork), tmp_path / "p.tif"
    mapper = SceneMapper(model.card, model)
    with mapper.open(str(scene)) as opened:
        rows, grid = mapper.in_memory(opened)
    predict(scene, [], model=model, probs=probs)
    with rasterio.open(probs) as written:
        np.testing.assert_array_equal(rows.probabilities, written.read())
        assert Affine(*grid.affine[:6]) == written.transform
    assert rows.valid.all()


def test_map_in_memory_is_on_the_grid_of_the_model(make_model, write_scene, patchwork) -> None:
    model = make_model(resolution=Resolution(gsd_m=5))
    mapper = SceneMapper(model.card, model)
    with mapper.open(str(write_scene(patchwork))) as opened:
        rows, grid = mapper.in_memory(opened)
    assert grid.shape == rows.valid.shape == (2 * 97, 2 * 131)
    assert grid.resolution.x == 5
