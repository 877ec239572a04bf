"""Drawn water and coasts."""

import numpy as np
import pytest

from geoconvlora.synthetic.water import LAND, WATER, coast

SIZE = 64


@pytest.mark.parametrize("seed", range(12))
def test_coast_is_an_image_with_its_classes_and_the_same_again(seed) -> None:
    image, classes = coast(np.random.default_rng(seed), SIZE)
    assert image.shape == (3, SIZE, SIZE)
    assert image.dtype == classes.dtype == np.uint8
    assert set(np.unique(classes)) <= {LAND, WATER}
    again, same = coast(np.random.default_rng(seed), SIZE)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(classes, same)


def test_coasts_differ_in_how_much_is_land() -> None:
    shares = [(coast(np.random.default_rng(k), SIZE)[1] == LAND).mean() for k in range(24)]
    assert min(shares) == 0
    assert max(shares) > 0.4


def test_land_is_mostly_brighter_than_its_water() -> None:
    brighter = []
    for seed in range(24):
        image, classes = coast(np.random.default_rng(seed), SIZE)
        if 0.1 < (classes == LAND).mean() < 0.9:
            land, water = (image[:, classes == each].mean() for each in (LAND, WATER))
            brighter.append(land > water)
    assert len(brighter) > 5
    assert np.mean(brighter) > 0.8
