from __future__ import annotations

import numpy as np
import pytest

from geoconvlora.errors import BandError, SceneError
from geoconvlora.scenes import Window, band_statistics, fit_normaliser, open_scene
from geoconvlora.weights.card import Band, Scaling

BANDS = [Band(name=name, mean=0.5, std=0.25) for name in ("red", "green", "blue")]
PERCENTILE = Scaling(kind="percentile", low=2, high=98)
RNG = np.random.default_rng(3)
SCENE = RNG.gamma(3, 300, (3, 90, 110)).astype(np.uint16) + 1


def normalised(path, scaling: Scaling, bands=BANDS) -> np.ndarray:
    with open_scene(path) as scene:
        pixels = scene.read(Window(0, 0, scene.height, scene.width))
        return fit_normaliser(scaling, bands, scene)(pixels)


def test_linear_scaling_is_the_formula(write_raster) -> None:
    scaling = Scaling(scale=1e-4, offset=-0.1)
    expected = (SCENE * 1e-4 - 0.1 - 0.5) / 0.25
    np.testing.assert_allclose(normalised(write_raster(SCENE), scaling), expected, atol=1e-5)


def test_percentiles_become_zero_and_one(write_raster) -> None:
    low, high = np.percentile(SCENE, [2, 98], axis=(1, 2))[:, :, None, None]
    expected = ((SCENE - low) / (high - low) - 0.5) / 0.25
    np.testing.assert_allclose(normalised(write_raster(SCENE), PERCENTILE), expected, atol=1e-4)


def test_percentile_scaling_does_not_depend_on_radiometry(write_raster) -> None:
    plain = normalised(write_raster(SCENE), PERCENTILE)
    shifted = normalised(write_raster(SCENE * 3.0 + 500), PERCENTILE)
    np.testing.assert_allclose(plain, shifted, atol=1e-3)


def test_invalid_pixels_are_zero_and_outside_the_percentiles(write_raster) -> None:
    values = SCENE.copy()
    values[:, :30] = 60_000
    found = normalised(write_raster(values, nodata=60_000), PERCENTILE)
    assert (found[:, :30] == 0).all()
    np.testing.assert_allclose(
        found[:, 30:], normalised(write_raster(SCENE[:, 30:]), PERCENTILE), atol=1e-4
    )


def test_clip_bounds_scaled_values(write_raster) -> None:
    found = normalised(write_raster(SCENE), PERCENTILE.model_copy(update={"clip": (0.0, 1.0)}))
    assert found.min() == -2
    assert found.max() == 2


def test_constant_band_becomes_its_mean(write_raster) -> None:
    values = SCENE.copy()
    values[1] = 7
    found = normalised(write_raster(values), PERCENTILE.model_copy(update={"clip": (0.0, 1.0)}))
    assert (found[1] == 0).all()
    assert found[0].std() > 0


def test_scene_without_valid_pixel_is_all_zero(write_raster) -> None:
    assert (normalised(write_raster(SCENE * 0, nodata=0), PERCENTILE) == 0).all()


def test_wrong_number_of_bands_is_refused(write_raster) -> None:
    with pytest.raises(BandError, match="read in 3 bands; the model wants 2"):
        normalised(write_raster(SCENE), PERCENTILE, BANDS[:2])


def test_statistics_are_those_of_all_valid_pixels_together(write_raster) -> None:
    other = RNG.integers(1, 5000, (3, 40, 40)).astype(np.uint16)
    holed = SCENE.copy()
    holed[:, ::3] = 0
    scaling = Scaling(scale=1e-3, offset=0.2)
    with (
        open_scene(write_raster(holed, nodata=0, name="a.tif")) as a,
        open_scene(write_raster(other, name="b.tif")) as b,
    ):
        mean, std = band_statistics([a, b], scaling)
    valid = holed.reshape(3, -1)[:, (holed != 0).all(axis=0).ravel()]
    together = np.concatenate([valid, other.reshape(3, -1)], axis=1) * 1e-3 + 0.2
    np.testing.assert_allclose(mean, together.mean(axis=1))
    np.testing.assert_allclose(std, together.std(axis=1))


def test_statistics_of_nothing_are_refused(write_raster) -> None:
    with (
        open_scene(write_raster(SCENE * 0, nodata=0)) as scene,
        pytest.raises(SceneError, match="no scene has a valid pixel"),
    ):
        band_statistics([scene], Scaling())
