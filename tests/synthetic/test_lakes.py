"""Lakes in farmland, plots, and ground of one kind."""

import numpy as np
import pytest

from geoconvlora.synthetic import training_sample
from geoconvlora.synthetic.lakes import with_lakes

SIZE = 96


@pytest.mark.parametrize("upscale", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_what_lies_under_water_is_no_field_and_is_smoother(seed, upscale) -> None:
    rng = np.random.default_rng(seed)
    image = 0.3 + 0.1 * rng.standard_normal((3, SIZE, SIZE)).astype(np.float32)
    ids = np.ones((SIZE * upscale, SIZE * upscale), np.int64)
    seen, left = with_lakes(np.random.default_rng(seed), image, ids, upscale=upscale)
    again, _ = with_lakes(np.random.default_rng(seed), image, ids, upscale=upscale)
    np.testing.assert_array_equal(seen, again)
    assert seen.dtype == np.float32
    assert np.isfinite(seen).all()
    lake = (left == 0).reshape(SIZE, upscale, SIZE, upscale)
    assert 0.01 < lake.mean() < 0.75
    assert np.isin(left, (0, 1)).all()
    wet, dry = lake.all(axis=(1, 3)), ~lake.any(axis=(1, 3))
    rough = np.abs(np.diff(seen[0], axis=1))
    assert np.median(rough[wet[:, 1:] & wet[:, :-1]]) < 0.5 * np.median(rough[dry[:, 1:]])


def test_lakes_take_from_fields_only() -> None:
    for seed in range(8):
        _, dry = training_sample(seed, SIZE)
        _, wet = training_sample(seed, SIZE, lakes=1.0)
        assert not ((wet > 0) & (dry == 0)).any()
    assert any(
        (training_sample(seed, SIZE)[1] > 0).sum()
        > (training_sample(seed, SIZE, lakes=1.0)[1] > 0).sum()
        for seed in range(8)
    )


def test_plots_have_more_boundary() -> None:
    def shares(**options: float) -> float:
        labels = [training_sample(seed, SIZE, **options)[1] for seed in range(16)]
        return sum((each == 2).sum() for each in labels) / sum((each > 0).sum() for each in labels)

    assert shares(plots=1.0) > 1.3 * shares()


def test_ground_without_fields_may_be_of_one_kind() -> None:
    image, label = training_sample(3, SIZE, wilderness=1.0, barren="dunes")
    assert not label.any()
    other, _ = training_sample(3, SIZE, wilderness=1.0, barren="sea")
    assert not np.array_equal(image, other)
