"""Windows of a tile."""

import numpy as np
import pytest
from training_files import write_raster

from geoconvlora.scenes import Window
from geoconvlora.training.tile_pair import TilePair
from geoconvlora.weights.card import Scaling

HEIGHT, WIDTH = 30, 41
WINDOWS = [(0, 0, 16, 16), (7, 11, 16, 24), (20, 30, 16, 16), (-4, -6, 48, 60), (-20, 3, 16, 16)]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("scaling", [Scaling(scale=0.5), Scaling(kind="percentile")])
def test_a_window_holds_what_the_whole_tile_holds_there(tmp_path, window, scaling) -> None:
    rng = np.random.default_rng(3)
    image, label = tmp_path / "image.tif", tmp_path / "label.tif"
    values = rng.integers(1, 255, (3, HEIGHT, WIDTH)).astype(np.uint8)
    values[:, 9:12, 5:30] = 0
    write_raster(image, values, nodata=0)
    write_raster(label, rng.integers(0, 3, (1, HEIGHT, WIDTH)).astype(np.uint8))
    pair = TilePair(image, label, HEIGHT, WIDTH, (3, 1))

    part, whole = pair.read(Window(*window), scaling), pair.read(pair.whole, scaling)
    row, column, height, width = window
    rows, columns = np.arange(row, row + height), np.arange(column, column + width)
    inside = np.ix_((rows >= 0) & (rows < HEIGHT), (columns >= 0) & (columns < WIDTH))
    there = np.ix_(rows[(rows >= 0) & (rows < HEIGHT)], columns[(columns >= 0) & (columns < WIDTH)])
    expected_image = np.zeros((2, height, width), np.float32)
    expected_mask, expected_valid = np.full((height, width), 255), np.zeros((height, width), bool)
    for band, layer in zip(expected_image, whole.image, strict=True):
        band[inside] = layer[there]
    expected_mask[inside], expected_valid[inside] = whole.mask[there], whole.valid[there]
    np.testing.assert_array_equal(part.image, expected_image)
    np.testing.assert_array_equal(part.mask, expected_mask)
    np.testing.assert_array_equal(part.valid, expected_valid)
