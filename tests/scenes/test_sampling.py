from __future__ import annotations

import numpy as np
import pytest

from geoconvlora.scenes import open_scene, sample_valid_pixels, valid_fraction
from geoconvlora.scenes.sampling import lattice, row_windows

SCENE = np.random.default_rng(5).integers(1, 1000, (2, 700, 500), dtype=np.uint16)


def test_small_scene_is_taken_whole(write_raster) -> None:
    with open_scene(write_raster(SCENE)) as scene:
        np.testing.assert_array_equal(sample_valid_pixels(scene), SCENE.reshape(2, -1))


def test_sample_of_a_large_scene_is_bounded_even_and_the_same_twice(write_raster) -> None:
    with open_scene(write_raster(SCENE)) as scene:
        windows = list(lattice(scene, 100_000))
        first, second = (sample_valid_pixels(scene, 100_000) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert 50_000 < first.shape[1] <= 100_000
    assert {windows[0].row, windows[0].column} == {0}
    assert (windows[-1].row, windows[-1].column) == (700 - 64, 500 - 64)


def test_single_valid_pixel_of_a_large_scene_is_found(write_raster) -> None:
    values = np.zeros_like(SCENE)
    values[:, 333, 222] = [5, 9]
    with open_scene(write_raster(values, nodata=0)) as scene:
        assert sample_valid_pixels(scene, 20_000).tolist() == [[5], [9]]


def test_search_takes_every_nth_valid_pixel(write_raster) -> None:
    # A strip between the windows of the lattice, so that only the search finds it.
    values = np.zeros_like(SCENE)
    values[:, :, 70:75] = np.arange(700 * 5, dtype=np.uint16).reshape(700, 5) + 1
    with open_scene(write_raster(values, nodata=0)) as scene:
        found = sample_valid_pixels(scene, 1024)[0]
    assert 0 < len(found) <= 1024
    assert set(np.diff(found)) == {4}


@pytest.mark.parametrize("pixels", [1, 499, 5000, 10**9])
def test_row_windows_cover_the_scene_once(write_raster, pixels: int) -> None:
    with open_scene(write_raster(SCENE)) as scene:
        windows = list(row_windows(scene, pixels))
    assert [w.row for w in windows] == list(np.cumsum([0] + [w.height for w in windows])[:-1])
    assert sum(w.height for w in windows) == 700


def test_valid_fraction_of_a_half_empty_scene(write_raster) -> None:
    values = SCENE.copy()
    values[:, :, :250] = 0
    path = write_raster(values, nodata=0)
    with open_scene(path) as scene:
        assert valid_fraction(scene) == 0.5
        assert valid_fraction(scene, 100_000) == pytest.approx(0.5, abs=0.15)


def test_what_lies_beyond_a_narrow_scene_is_not_counted_as_invalid(write_raster) -> None:
    with open_scene(write_raster(SCENE[:, :, :20])) as scene:
        assert valid_fraction(scene, 5000) == 1
        assert {window.width for window in lattice(scene, 5000)} == {20}
