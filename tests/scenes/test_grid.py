from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geoconvlora.errors import SceneError
from geoconvlora.scenes import Normaliser, PredictionGrid, Window, open_scene, read_grid
from geoconvlora.scenes.grid import block_sum
from geoconvlora.weights.card import Resolution

HEIGHT, WIDTH = 23, 31
RNG = np.random.default_rng(11)
SCENE = RNG.integers(1, 4000, (2, HEIGHT, WIDTH), dtype=np.uint16)
HOLED = np.where(RNG.random((HEIGHT, WIDTH)) < 0.3, 0, SCENE)


def identity(bands: int) -> Normaliser:
    ones, no = np.ones(bands, np.float32), np.full(bands, np.inf, np.float32)
    return Normaliser(ones, ones * 0, -no, no)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    zoom=st.sampled_from([(1, 1), (2, 1), (3, 1), (8, 1), (1, 2), (1, 3), (1, 5)]),
    place=st.tuples(*[st.integers(-30, 200)] * 2, *[st.integers(1, 60)] * 2),
)
def test_any_window_is_cut_from_the_whole_to_the_last_bit(write_raster, zoom, place) -> None:
    row, column, height, width = place
    with open_scene(write_raster(HOLED, nodata=0)) as scene:
        grid = PredictionGrid.zoomed(scene.geobox, zoom_in=zoom[0], zoom_out=zoom[1])
        whole = Window(-64, -64, grid.height + 400, grid.width + 400)
        values, valid = read_grid(scene, grid, whole, identity(2))
        part = read_grid(scene, grid, Window(row, column, height, width), identity(2))
    rows, columns = slice(row + 64, row + 64 + height), slice(column + 64, column + 64 + width)
    np.testing.assert_array_equal(part[0], values[:, rows, columns])
    np.testing.assert_array_equal(part[1], valid[rows, columns])


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_finer_values_are_torchs_bilinear_where_all_is_valid(write_raster, factor: int) -> None:
    with open_scene(write_raster(SCENE)) as scene:
        grid = PredictionGrid.zoomed(scene.geobox, zoom_in=factor)
        values, valid = read_grid(scene, grid, Window(0, 0, grid.height, grid.width), identity(2))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(SCENE.astype(np.float32))[None],
        scale_factor=factor,
        mode="bilinear",
        align_corners=False,
    )[0].numpy()
    assert valid.all()
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_invalid_pixels_do_not_bleed_into_finer_ones(write_raster) -> None:
    values = np.where(HOLED, 100, 60_000).astype(np.uint16)
    with open_scene(write_raster(values, nodata=60_000)) as scene:
        grid = PredictionGrid.zoomed(scene.geobox, zoom_in=4)
        found, valid = read_grid(scene, grid, Window(0, 0, grid.height, grid.width), identity(2))
    own = (values != 60_000).all(axis=0)
    np.testing.assert_array_equal(valid, own.repeat(4, 0).repeat(4, 1))
    np.testing.assert_allclose(found[:, valid], 100, rtol=1e-6)
    assert (found[:, ~valid] == 0).all()


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_coarser_values_are_means_of_valid_pixels(write_raster, factor: int) -> None:
    with open_scene(write_raster(HOLED, nodata=0)) as scene:
        grid = PredictionGrid.zoomed(scene.geobox, zoom_out=factor)
        values, valid = read_grid(scene, grid, Window(0, 0, grid.height, grid.width), identity(2))
    assert values.shape == (2, math.ceil(HEIGHT / factor), math.ceil(WIDTH / factor))
    for row, column in np.ndindex(*valid.shape):
        block = HOLED[
            :, row * factor : (row + 1) * factor, column * factor : (column + 1) * factor
        ].reshape(2, -1)
        good = (block != 0).all(axis=0)
        assert valid[row, column] == (good.mean() >= 0.5)
        expected = block[:, good].mean(axis=1) if good.mean() >= 0.5 else [0, 0]
        np.testing.assert_allclose(values[:, row, column], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("gsd_m", "zoom"),
    [
        (None, (1, 1)),
        (10, (1, 1)),
        (5, (2, 1)),
        (7.2, (1, 1)),
        (6.9, (2, 1)),
        (3, (3, 1)),
        (20, (1, 2)),
        (14, (1, 1)),
        (14.5, (1, 2)),
        (33, (1, 3)),
    ],
)
def test_factor_is_the_nearest_in_ratio(write_raster, gsd_m, zoom) -> None:
    with open_scene(write_raster(SCENE)) as scene:
        grid = PredictionGrid.for_scene(scene, Resolution(gsd_m=gsd_m))
        assert (grid.zoom_in, grid.zoom_out) == zoom
        np.testing.assert_allclose(tuple(grid.geobox.affine)[:6], zoomed_affine(scene, zoom))


def zoomed_affine(scene, zoom) -> tuple[float, ...]:
    a, b, left, d, e, top = tuple(scene.geobox.affine)[:6]
    k = zoom[1] / zoom[0]
    return a * k, b * k, left, d * k, e * k, top


@pytest.mark.parametrize("limits", [{"min_gsd_m": 20}, {"max_gsd_m": 5}, {"gsd_m": 0.5}])
def test_pixel_size_outside_the_models_range(write_raster, limits) -> None:
    with open_scene(write_raster(SCENE)) as scene:
        with pytest.raises(SceneError, match=r"pixels of 10 m; the model knows"):
            PredictionGrid.for_scene(scene, Resolution(outside="refuse", **limits))
        with pytest.warns(UserWarning, match="expect poor results"):
            PredictionGrid.for_scene(scene, Resolution(outside="warn", **limits))


@pytest.mark.parametrize(
    ("limits", "zoom"),
    [
        ({"gsd_m": 2, "max_zoom_in": 2}, (2, 1)),
        ({"gsd_m": 6, "max_zoom_in": 3}, (2, 1)),
        ({"gsd_m": 2, "max_gsd_m": 12, "max_zoom_in": 1}, (1, 1)),
    ],
)
def test_enlargement_ends_at_the_cards_factor(write_raster, limits, zoom) -> None:
    with open_scene(write_raster(SCENE)) as scene:
        grid = PredictionGrid.for_scene(scene, Resolution(**limits))
    assert (grid.zoom_in, grid.zoom_out) == zoom


@pytest.mark.parametrize(
    ("limits", "zoom"),
    [
        ({"gsd_m": 2, "max_gsd_m": 6}, (3, 1)),
        ({"gsd_m": 2, "max_gsd_m": 1}, (1, 1)),
        ({"gsd_m": 0.5}, (8, 1)),
        ({"gsd_m": 50, "min_gsd_m": 30}, (1, 5)),
        ({"max_gsd_m": 6}, (1, 1)),
    ],
)
def test_only_enlargement_ends_where_the_models_range_does(write_raster, limits, zoom) -> None:
    with (
        open_scene(write_raster(SCENE)) as scene,
        pytest.warns(UserWarning, match="expect poor results"),
    ):
        grid = PredictionGrid.for_scene(scene, Resolution(**limits))
    assert (grid.zoom_in, grid.zoom_out) == zoom


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"gsd_m": 1, "min_gsd_m": 0.5, "max_gsd_m": 5}, "knows 0.5 to 5 m: .*take a finer scene"),
        ({"max_gsd_m": 5}, "knows up to 5 m: .*take a finer scene, or another model"),
        ({"min_gsd_m": 20}, "knows 20 m and more: .*take a coarser or resampled scene, or another"),
    ],
)
def test_warning_says_what_the_model_knows_and_what_to_do(write_raster, limits, says) -> None:
    with (
        open_scene(write_raster(SCENE)) as scene,
        pytest.warns(UserWarning, match=f"scene.tif has pixels of 10 m; the model {says}"),
    ):
        PredictionGrid.for_scene(scene, Resolution(**limits))


def test_pixels_too_coarse_to_show_anything_are_refused_also_where_others_are_warned_of(
    write_raster,
) -> None:
    with open_scene(write_raster(SCENE)) as scene:
        for limits in ({"max_gsd_m": 5}, {}, {"gsd_m": 5}):
            with pytest.raises(SceneError, match=r"10 m; .* cannot be seen .*finer scene"):
                PredictionGrid.for_scene(scene, Resolution(refuse_gsd_m=10, **limits))
        with pytest.warns(UserWarning, match="expect poor results"):
            PredictionGrid.for_scene(scene, Resolution(max_gsd_m=5, refuse_gsd_m=11))


def test_scene_of_another_planet_is_warned_of(write_raster) -> None:
    mars = "+proj=eqc +R=3395582 +units=m +type=crs"
    with (
        open_scene(write_raster(SCENE, crs=mars)) as scene,
        pytest.warns(UserWarning, match="does not show the Earth: .* radius of 3,396 km"),
    ):
        PredictionGrid.for_scene(scene, Resolution())
    with (
        open_scene(write_raster(SCENE, crs=mars)) as scene,
        pytest.raises(SceneError, match="does not show the Earth"),
    ):
        PredictionGrid.for_scene(scene, Resolution(earth_only=True))


def test_block_sum_is_the_sum_of_blocks() -> None:
    layers = RNG.random((3, 12, 18)).astype(np.float32)
    expected = layers.astype(np.float64).reshape(3, 4, 3, 6, 3).sum(axis=(2, 4))
    np.testing.assert_allclose(block_sum(layers, 3), expected)
