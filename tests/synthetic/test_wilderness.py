"""Samples without fields, and cloud."""

import numpy as np
import pytest

from geoconvlora.synthetic import training_sample
from geoconvlora.synthetic.wilderness import barren_ground, texture, under_cloud

SIZE = 64


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(30))
def test_ground_is_positive_varied_and_the_same_again(seed) -> None:
    image = barren_ground(rng(seed), SIZE)
    assert image.shape == (3, SIZE, SIZE)
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
    assert image.min() > 0
    assert (image.std(axis=(1, 2)) > 0).all()
    np.testing.assert_array_equal(image, barren_ground(rng(seed), SIZE))


def test_wilderness_has_no_field_and_is_scaled_as_any_sample() -> None:
    for seed in range(10):
        image, label = training_sample(seed, SIZE, wilderness=1.0)
        assert not label.any()
        low, high = np.percentile(image, [2, 98])
        assert -0.5 < low < high < 2


def contrast(image: np.ndarray) -> float:
    low, high = np.percentile(image, [2, 98], axis=(1, 2))
    return float((high - low).mean())


def test_wilderness_shows_a_part_of_the_contrast_of_its_scene() -> None:
    found = [contrast(training_sample(seed, SIZE, wilderness=1.0)[0]) for seed in range(24)]
    assert min(found) < 0.45
    assert max(found) > 0.85


def test_what_cloud_hides_is_background() -> None:
    hidden_share = []
    for seed in range(12):
        _, clear = training_sample(seed, SIZE)
        _, clouded = training_sample(seed, SIZE, overcast=1.0)
        hidden = clouded != clear
        assert not clouded[hidden].any()
        hidden_share.append(hidden.mean() / max((clear > 0).mean(), 1e-9))
    assert min(hidden_share) < 0.3
    assert max(hidden_share) > 0.8


def test_cloud_is_brighter_than_the_ground_that_it_hides() -> None:
    found = []
    for seed in range(12):
        ground = np.full((3, SIZE, SIZE), 0.2, np.float32)
        image, hidden = under_cloud(rng(seed), ground)
        assert (image[:, ~hidden] <= 0.2 * 4.5).all()
        found.append(hidden.mean())
        if 0.05 < hidden.mean() < 0.95:
            assert image[:, hidden].mean() > image[:, ~hidden].mean()
    assert min(found) < 0.3 < 0.7 < max(found)


def test_a_steeper_slope_is_smoother() -> None:
    steps = [np.abs(np.diff(texture(rng(1), 128, slope))).mean() for slope in (0.0, 1.0, 2.0)]
    assert steps[0] > 1.5 * steps[1] > 2.5 * steps[2]
