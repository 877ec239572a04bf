from __future__ import annotations

import numpy as np
import pytest

from geoconvlora.inference.rows import MapRows, on_scene_grid
from geoconvlora.scenes import PredictionGrid, Window, open_scene


def test_finer_map_is_averaged_onto_the_scene(write_scene) -> None:
    with open_scene(write_scene(np.ones((3, 2, 3), np.uint8))) as scene:
        grid = PredictionGrid.zoomed(scene.geobox, zoom_in=2)
        probabilities = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
        own = on_scene_grid(MapRows(0, probabilities, np.ones((4, 6), bool)), grid, scene)
    assert own.probabilities.tolist() == [[[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]]


def test_coarser_map_is_repeated_but_for_invalid_scene_pixels(write_scene) -> None:
    values = np.ones((3, 3, 5), np.uint8)
    values[:, 2, 4] = 0
    with open_scene(write_scene(values, nodata=0)) as scene:
        grid = PredictionGrid.zoomed(scene.geobox, zoom_out=2)
        probabilities = np.arange(1, 7, dtype=np.float32).reshape(1, 2, 3)
        valid = np.array([[True, False, True], [True, True, True]])
        own = on_scene_grid(MapRows(0, probabilities, valid), grid, scene)
    assert own.probabilities[0].tolist() == [[1, 1, 0, 0, 3], [1, 1, 0, 0, 3], [4, 4, 5, 5, 0]]
    assert own.valid.tolist() == (own.probabilities[0] > 0).tolist()


@pytest.mark.parametrize("zoom", [{"zoom_in": 2}, {"zoom_out": 2}, {}])
def test_part_of_a_map_is_the_same_part_on_the_scene(write_scene, zoom) -> None:
    values = np.random.default_rng(0).integers(0, 3, (3, 8, 13), dtype=np.uint8)
    with open_scene(write_scene(values, nodata=0)) as scene:
        grid = PredictionGrid.zoomed(scene.geobox, **zoom)
        shape = grid.geobox.shape
        probabilities = np.random.default_rng(1).random((2, *shape)).astype(np.float32)
        valid = np.ones(shape, bool)
        whole = on_scene_grid(MapRows(0, probabilities, valid, probabilities[0]), grid, scene)
        window = Window(4, 2, 4, 11)
        scale = grid.zoom_in / grid.zoom_out
        rows, columns = slice(int(4 * scale), None), slice(int(2 * scale), None)
        part = MapRows(
            0,
            probabilities[:, rows, columns],
            valid[rows, columns],
            probabilities[0, rows, columns],
        )
        own = on_scene_grid(part, grid, scene, window)
    np.testing.assert_array_equal(own.probabilities, whole.probabilities[:, 4:, 2:])
    np.testing.assert_array_equal(own.valid, whole.valid[4:, 2:])
    np.testing.assert_array_equal(own.spread, whole.spread[4:, 2:])
