from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvlora.inference.rows import MapRows, on_scene_grid, read_tile_rows, regroup
from geoconvlora.inference.tiles import Tiling
from geoconvlora.scenes import Normaliser, PredictionGrid, Window, open_scene, read_grid

NO = np.full(3, np.inf, np.float32)
IDENTITY = Normaliser(np.ones(3, np.float32), np.zeros(3, np.float32), -NO, NO)


@settings(deadline=None)
@given(heights=st.lists(st.integers(1, 20), min_size=1, max_size=8), rows=st.integers(1, 40))
def test_regrouped_rows_are_the_same_rows(heights: list[int], rows: int) -> None:
    total = sum(heights)
    whole = np.arange(2 * total * 3, dtype=np.float32).reshape(2, total, 3)
    starts = np.cumsum([0, *heights])
    bands = [MapRows(int(a), whole[:, a:b], whole[0, a:b] % 2 == 0) for a, b in pairwise(starts)]
    found = list(regroup(bands, rows))
    assert [band.row for band in found] == list(range(0, total, rows))
    assert all(band.valid.shape[0] == rows for band in found[:-1])
    np.testing.assert_array_equal(np.concatenate([b.probabilities for b in found], 1), whole)
    np.testing.assert_array_equal(np.concatenate([b.valid for b in found]), whole[0] % 2 == 0)


@pytest.mark.parametrize("zoom", [{}, {"zoom_in": 2}, {"zoom_out": 2}])
@pytest.mark.parametrize("overlap", [0, 4, 20])
def test_tile_rows_are_windows_of_the_grid(write_scene, patchwork, zoom, overlap) -> None:
    with open_scene(write_scene(np.where(patchwork > 200, 0, patchwork), nodata=0)) as scene:
        grid = PredictionGrid.zoomed(scene.geobox, **zoom)
        tiling = Tiling.over(grid.height, grid.width, tile=32, overlap=overlap)
        rows = list(read_tile_rows(scene, grid, tiling, IDENTITY))
        assert len(rows) == len(tiling.rows)
        for index, row in enumerate(rows):
            window = Window(tiling.rows.start(index), 0, 32, grid.width)
            values, valid = read_grid(scene, grid, window, IDENTITY)
            assert row.row == window.row
            np.testing.assert_array_equal(row.values, values)
            np.testing.assert_array_equal(row.valid, valid)


def test_scene_smaller_than_a_tile_is_mirrored_and_the_rest_invalid(write_scene) -> None:
    values = np.arange(1, 3 * 5 * 9 + 1, dtype=np.uint8).reshape(3, 5, 9)
    with open_scene(write_scene(values)) as scene:
        grid = PredictionGrid.zoomed(scene.geobox)
        (row,) = read_tile_rows(scene, grid, Tiling.over(5, 9, tile=16, overlap=4), IDENTITY)
    np.testing.assert_array_equal(
        row.values, np.pad(values, ((0, 0), (0, 11), (0, 7)), mode="symmetric")
    )
    assert row.valid[:5, :9].all()
    assert row.valid.sum() == 45


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
