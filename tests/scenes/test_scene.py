from __future__ import annotations

import pickle

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from geoconvlora.errors import SceneError
from geoconvlora.scenes import Window, open_scene

HEIGHT, WIDTH = 37, 53
SCENE = np.random.default_rng(7).integers(1, 250, (3, HEIGHT, WIDTH), dtype=np.uint8)
ALL = Window(0, 0, HEIGHT, WIDTH)
COS, SIN = 0.8, 0.6


def hole() -> np.ndarray:
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[5:20, 10:30] = False
    valid[30, 40] = False
    return valid


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize(
    "layout", [{"tiled": True, "blockxsize": 16, "blockysize": 16}, {"blockysize": 3}]
)
def test_values_are_read_as_float32(write_raster, dtype: str, layout: dict) -> None:
    path = write_raster(SCENE.astype(dtype), **layout)
    with open_scene(path) as scene:
        pixels = scene.read(ALL)
    assert pixels.values.dtype == np.float32
    np.testing.assert_array_equal(pixels.values, SCENE)
    assert pixels.valid.all()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    row=st.integers(-50, 60),
    column=st.integers(-70, 80),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
)
def test_any_window_is_the_whole_scene_padded_and_cut(
    write_raster, row: int, column: int, height: int, width: int
) -> None:
    values = np.where(hole(), SCENE, 0)
    with open_scene(write_raster(values, nodata=0)) as scene:
        whole = scene.read(ALL)
        part = scene.read(Window(row, column, height, width))
    padded_values = np.pad(whole.values, ((0, 0), (100, 150), (100, 150)))
    padded_valid = np.pad(whole.valid, ((100, 150), (100, 150)))
    rows, columns = slice(row + 100, row + 100 + height), slice(column + 100, column + 100 + width)
    np.testing.assert_array_equal(part.values, padded_values[:, rows, columns])
    np.testing.assert_array_equal(part.valid, padded_valid[rows, columns])


def test_pixel_is_invalid_where_one_band_is_nodata(write_raster) -> None:
    values = SCENE.copy()
    values[1, 4, 4] = 0
    with open_scene(write_raster(values, nodata=0)) as scene:
        pixels = scene.read(ALL)
    assert np.argwhere(~pixels.valid).tolist() == [[4, 4]]
    assert (pixels.values[:, 4, 4] == 0).all()


def test_nodata_of_a_band_that_is_not_read_does_not_count(write_raster) -> None:
    values = SCENE.copy()
    values[1, 4, 4] = 0
    with open_scene(write_raster(values, nodata=0), bands=[1, 3]) as scene:
        assert scene.read(ALL).valid.all()


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("float32", -9999.0),
        ("float32", float("nan")),
        ("float32", float("-inf")),
        ("float32", -3.4028234663852886e38),
        ("float32", 0.1),
        ("float64", 1e300),
        ("int16", -32768),
        ("uint16", 65535),
    ],
)
def test_declared_nodata_masks(write_raster, dtype: str, nodata: float) -> None:
    values = np.where(hole(), SCENE.astype(dtype), np.dtype(dtype).type(nodata))
    with open_scene(write_raster(values, nodata=nodata)) as scene:
        np.testing.assert_array_equal(scene.read(ALL).valid, hole())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_invalid_beside_a_nodata_value(write_raster, bad: float) -> None:
    values = SCENE.astype(np.float32)
    values[2, 1, 1] = bad
    values[0, 2, 2] = 0
    with open_scene(write_raster(values, nodata=0)) as scene:
        assert np.argwhere(~scene.read(ALL).valid).tolist() == [[1, 1], [2, 2]]


def test_double_beyond_float32_is_invalid(write_raster) -> None:
    values = SCENE.astype(np.float64)
    values[0, 3, 3] = 1e200
    with open_scene(write_raster(values)) as scene:
        assert np.argwhere(~scene.read(ALL).valid).tolist() == [[3, 3]]


@pytest.mark.parametrize("inside", [True, False], ids=["internal", "sidecar"])
def test_mask_band_masks(write_raster, inside: bool) -> None:
    path = write_raster(SCENE, mask=hole(), gdal_masks_inside=inside)
    assert path.with_name("scene.tif.msk").exists() is not inside
    with open_scene(path) as scene:
        np.testing.assert_array_equal(scene.read(ALL).valid, hole())


def test_mask_band_supersedes_the_files_nodata_but_not_the_users(write_raster) -> None:
    values = SCENE.copy()
    values[:, 0, 0] = 0  # dark, as the mask says, though nodata is 0
    path = write_raster(values, mask=hole(), nodata=0)
    with open_scene(path) as scene:
        np.testing.assert_array_equal(scene.read(ALL).valid, hole())
    with open_scene(path, nodata=0) as scene:
        np.testing.assert_array_equal(scene.read(ALL).valid, hole() & (values[0] != 0))


def test_mask_of_one_band_masks(write_raster, write_vrt) -> None:
    masked = write_raster(SCENE, mask=hole(), name="masked.tif")
    plain = write_raster(SCENE, name="plain.tif")
    path = write_vrt((plain, None), (plain, masked))
    with open_scene(path) as scene:
        np.testing.assert_array_equal(scene.read(ALL).valid, hole())
    with open_scene(path, bands=[1]) as scene:
        assert scene.read(ALL).valid.all()


def test_bands_of_several_types_are_read_each_by_its_own_nodata(write_raster, write_vrt) -> None:
    bright = SCENE[1:2].astype(np.int16) * 100
    bright[0, 1, 1] = -32768
    low = SCENE[:1] + np.float32(0.25)
    low[0, 2, 2], low[0, 3, 3] = 0.1, np.nan
    files = (
        write_raster(low, name="float.tif", nodata=0.1),
        write_raster(bright, name="short.tif", nodata=-32768),
        write_raster(SCENE[2:], name="byte.tif"),
    )
    with open_scene(write_vrt(*((file, None) for file in files))) as scene:
        pixels = scene.read(ALL)
    assert np.argwhere(~pixels.valid).tolist() == [[1, 1], [2, 2], [3, 3]]
    expected = np.stack([low[0], bright[0], SCENE[2]])
    np.testing.assert_array_equal(pixels.values, np.where(pixels.valid, expected, 0))


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("0001-01-01T00:00:00+02:00", ""),
        ("9999-12-31T23:00:00-02:00", ""),
        ("2020-01-01T00:00:00+02:00", "2019-12-31T22:00:00Z"),
    ],
)
def test_date_that_utc_cannot_hold_is_none(write_raster, text: str, date: str) -> None:
    path = write_raster(SCENE)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ACQUISITION_DATE=text)
    with open_scene(path) as scene:
        assert scene.date == date


def test_alpha_masks_and_is_no_data_band(write_raster) -> None:
    alpha = np.where(hole(), 255, 0).astype(np.uint8)
    alpha[0, 0] = 1
    path = write_raster(np.stack([*SCENE, alpha]), colors=("red", "green", "blue", "alpha"))
    with open_scene(path) as scene:
        assert scene.bands == (1, 2, 3)
        np.testing.assert_array_equal(scene.read(ALL).valid, hole())


def test_alpha_counts_beside_a_nodata_value(write_raster) -> None:
    values = SCENE.copy()
    values[0, 0, 0] = 0
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[1, 1] = 0
    path = write_raster(
        np.stack([*values, alpha]), colors=("red", "green", "blue", "alpha"), nodata=0
    )
    with open_scene(path) as scene:
        assert np.argwhere(~scene.read(ALL).valid).tolist() == [[0, 0], [1, 1]]


def test_alpha_that_is_asked_for_is_data(write_raster) -> None:
    nir = np.zeros((HEIGHT, WIDTH), np.uint8)
    path = write_raster(np.stack([*SCENE, nir]), colors=("red", "green", "blue", "alpha"))
    with open_scene(path, bands=[4, 1, 2]) as scene:
        assert scene.read(ALL).valid.all()


def test_users_nodata_replaces_the_files(write_raster) -> None:
    values = SCENE.copy()
    values[:, 0, 0], values[:, 1, 1] = 0, 255
    with open_scene(write_raster(values, nodata=0), nodata=255) as scene:
        assert np.argwhere(~scene.read(ALL).valid).tolist() == [[1, 1]]


@pytest.mark.parametrize(("own", "invalid"), [(None, [[1, 1]]), (0, [[0, 0]])])
def test_default_nodata_is_for_files_that_declare_none(write_raster, own, invalid) -> None:
    values = SCENE.copy()
    values[:, 0, 0], values[:, 1, 1] = 0, 255
    with open_scene(write_raster(values, nodata=own), default_nodata=255) as scene:
        assert np.argwhere(~scene.read(ALL).valid).tolist() == invalid


def test_nodata_that_pixels_cannot_hold_warns(write_raster) -> None:
    with pytest.warns(UserWarning, match="-9999 cannot occur in uint8"):
        scene = open_scene(write_raster(SCENE), nodata=-9999)
    with scene:
        assert scene.read(ALL).valid.all()


def test_pickled_scene_reads_the_same(write_raster) -> None:
    with (
        open_scene(write_raster(SCENE), bands=[2]) as scene,
        pickle.loads(pickle.dumps(scene)) as copy,
    ):
        np.testing.assert_array_equal(copy.read(ALL).values, SCENE[1:2])


def test_closed_scene_whose_file_went_says_so(write_raster) -> None:
    path = write_raster(SCENE)
    scene = open_scene(path)
    scene.close()
    path.unlink()
    with pytest.raises(SceneError, match="does not exist"):
        scene.read(ALL)


def test_rotated_grid_keeps_its_transform(write_raster) -> None:
    transform = Affine(2 * COS, 3 * SIN, 6e5, 2 * SIN, -3 * COS, 5e6)
    with open_scene(write_raster(SCENE, transform=transform)) as scene:
        assert scene.geobox.affine.almost_equals(transform)
        assert scene.gsd_m == pytest.approx(6**0.5, rel=1e-3)
