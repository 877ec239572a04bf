from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from geoconvlora.synthetic import training_sample
from geoconvlora.synthetic.sample import enlarge


def test_same_seed_gives_the_same_sample() -> None:
    for first, second in zip(training_sample(4, 64), training_sample(4, 64), strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_gives_another_sample() -> None:
    assert not np.array_equal(training_sample(4, 64)[0], training_sample(5, 64)[0])


def test_threads_make_the_samples_that_one_thread_makes() -> None:
    seeds = range(6)
    with ThreadPoolExecutor(3) as pool:
        threaded = list(pool.map(lambda seed: training_sample(seed, 64), seeds))
    for seed, (image, label) in zip(seeds, threaded, strict=True):
        expected = training_sample(seed, 64)
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(label, expected[1])


def test_global_random_state_has_no_influence() -> None:
    np.random.seed(1)  # noqa: NPY002
    first = training_sample(9, 64)[0]
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(first, training_sample(9, 64)[0])


@pytest.mark.parametrize(("size", "upscale"), [(64, 1), (64, 2), (96, 4), (66, 3), (2, 2)])
def test_shapes_and_types_at_any_size(size: int, upscale: int) -> None:
    image, label = training_sample(1, size, upscale=upscale)
    assert image.shape == (3, size, size)
    assert label.shape == (size, size)
    assert image.dtype == np.float32
    assert label.dtype == np.uint8
    assert np.isfinite(image).all()
    assert label.max() <= 2


@pytest.mark.parametrize(("size", "upscale"), [(0, 2), (65, 2), (64, 0)])
def test_a_size_that_is_no_multiple_of_upscale_is_refused(size: int, upscale: int) -> None:
    with pytest.raises(ValueError, match="multiple of upscale"):
        training_sample(1, size, upscale=upscale)


def test_samples_cover_farmland_and_land_without_fields() -> None:
    shares = [float((training_sample(seed, 128)[1] > 0).mean()) for seed in range(40)]
    assert 0.35 < np.mean(shares) < 0.8
    assert min(shares) < 0.1
    assert max(shares) > 0.8


def test_most_values_lie_between_the_scene_percentiles() -> None:
    images = np.stack([training_sample(seed, 64)[0] for seed in range(20)])
    assert ((images > -0.2) & (images < 1.2)).mean() > 0.93
    assert images.std(axis=(2, 3)).min() > 0.02


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_enlarging_a_ramp_keeps_its_slope(factor: int) -> None:
    ramp = np.arange(8, dtype=np.float32)[None, None, :].repeat(8, axis=1)
    large = enlarge(ramp, factor)[0, 0]
    inner = large[factor : -factor or None]
    np.testing.assert_allclose(np.diff(inner), 1 / factor, rtol=1e-5)
    assert large.mean() == pytest.approx(3.5, abs=1e-5)
