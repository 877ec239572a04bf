from __future__ import annotations

import numpy as np
import pytest
from skimage.morphology import local_minima, reconstruction

from geoconvlora.vector.minima import LEVELS, basins

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


def _by_skimage(heights: np.ndarray, depth: int) -> np.ndarray:
    ground = heights.astype(np.int16)
    filled = reconstruction(
        np.minimum(ground + depth, LEVELS), ground, method="erosion", footprint=CROSS
    ).astype(np.uint8)
    framed = np.pad(filled, 1, constant_values=LEVELS)
    return local_minima(framed, footprint=CROSS)[1:-1, 1:-1] & (filled < LEVELS)


def test_basins_are_minima_of_the_filled_landscape():
    heights = np.array([[9, 1, 3, 2, 60, 40, 40, 255, 255, 7]], np.uint8)
    assert basins(heights, 10).tolist() == [[1, 1, 1, 1, 0, 1, 1, 0, 0, 1]]
    assert basins(heights, 25).tolist() == [[1, 1, 1, 1, 0, 0, 0, 0, 0, 1]]


@pytest.mark.parametrize("depth", [1, 5, 51, 250])
@pytest.mark.parametrize("levels", [2, 6, 40, 256])
def test_basins_equal_those_of_skimage(levels, depth):
    rng = np.random.default_rng(levels * depth)
    for _ in range(20):
        shape = rng.integers(2, 25, 2)
        heights = (rng.integers(0, levels, shape) * (255 // (levels - 1))).astype(np.uint8)
        heights[rng.random(shape) < 0.2] = LEVELS
        np.testing.assert_array_equal(basins(heights, depth), _by_skimage(heights, depth))
