from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from networks import convolution

from geoconvlora.errors import BandError, ConfigError, SceneError
from geoconvlora.inference import predict, predict_array
from geoconvlora.weights.card import Resolution, Scaling

pytest.importorskip("dask")

# rioxarray multiplies affine transforms in a way that affine 3 wants spelled otherwise.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.fixture
def scene(write_scene, patchwork) -> Path:
    """A scene of 97 x 131 pixels with a hole."""
    values = patchwork.copy()
    values[:, 30:50, 60:90] = 0
    return write_scene(values, nodata=0)


def of_file(scene: Path, folder: Path, **arguments) -> tuple[np.ndarray, np.ndarray]:
    probs, classes = folder / "p.tif", folder / "c.tif"
    predict(scene, classes, probs=probs, overwrite=True, **arguments)
    return read(probs), read(classes)[0]


@pytest.mark.parametrize("chunks", [None, {"y": 40}, {"y": 25, "x": 50}])
@pytest.mark.parametrize("gsd_m", [None, 5, 20])
def test_array_gives_the_bytes_of_the_file(make_model, scene, tmp_path, gsd_m, chunks) -> None:
    model = make_model(
        convolution(), resolution=Resolution(gsd_m=gsd_m), scaling=Scaling(kind="percentile")
    )
    probabilities, classes = of_file(scene, tmp_path, model=model)
    with rioxarray.open_rasterio(scene, chunks=chunks) as array:
        found = predict_array(array, model=model)
        assert (found.probabilities.chunks is None) == (chunks is None)
        found = found.compute(scheduler="threads")
    np.testing.assert_array_equal(found.probabilities, probabilities)
    np.testing.assert_array_equal(found.classes, classes)
    np.testing.assert_array_equal(found.valid, classes != 255)
    assert found["class"].values.tolist() == ["ground", "crop", "road"]


def test_place_of_the_array_is_kept(make_model, scene, tmp_path) -> None:
    with rioxarray.open_rasterio(scene) as array:
        found = predict_array(array, model=make_model())
        np.testing.assert_array_equal(found.x, array.x)
        assert found.odc.geobox == array.odc.geobox
    found.classes.rio.to_raster(tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as out, rasterio.open(scene) as source:
        assert (out.crs, out.transform, out.nodata) == (source.crs, source.transform, 255)


def test_lazy_array_is_read_where_it_is_asked_for_only(make_model, write_scene, patchwork) -> None:
    tall = np.tile(patchwork, (1, 12, 1))[:, :1100]
    seen: list[tuple[int, int]] = []

    def noted(block: np.ndarray, block_info=None) -> np.ndarray:
        if block_info:
            seen.append(block_info[0]["array-location"][1])
        return block

    with rioxarray.open_rasterio(write_scene(tall), chunks={"y": 50}) as array:
        lazy = array.copy(
            data=array.data.map_blocks(noted, dtype=array.dtype, meta=array.data._meta)
        )
        model = make_model()
        found = predict_array(lazy, model=model)
        assert (seen, model.network.seen) == ([], [])
        top = found.classes.isel(y=slice(0, 100)).compute(scheduler="synchronous")
        assert max(stop for _, stop in seen) <= 300
        whole = predict_array(array.compute(), model=model)
    np.testing.assert_array_equal(top, whole.classes[:100])


def test_bands_are_found_by_name_and_dimensions_in_any_order(make_model, scene, tmp_path) -> None:
    model = make_model()
    probabilities, _ = of_file(scene, tmp_path, model=model)
    with rioxarray.open_rasterio(scene) as array:
        named = array.assign_coords(band=["red", "green", "blue"])
        more = named.reindex(band=["blue", "nir", "red", "green"], fill_value=9)
        turned = more.transpose("y", "x", "band").rename(band="colour")
        found = predict_array(turned, model=model)
        by_number = predict_array(array[::-1], model=model, bands=[3, 2, 1])
    np.testing.assert_array_equal(found.probabilities, probabilities)
    np.testing.assert_array_equal(by_number.probabilities, probabilities)


def test_masked_array_is_invalid_where_it_is_nan(make_model, scene, tmp_path) -> None:
    model = make_model()
    probabilities, _ = of_file(scene, tmp_path, model=model)
    with rioxarray.open_rasterio(scene, masked=True) as array:
        found = predict_array(array, model=model)
    np.testing.assert_array_equal(found.probabilities, probabilities)


def test_arrays_that_cannot_work_are_refused(make_model, scene) -> None:
    model = make_model()
    with rioxarray.open_rasterio(scene) as array:
        array = array.load()
    nowhere = xr.DataArray(array.values, dims=("band", "y", "x"))
    times = array.expand_dims(time=2)
    for odd, error, says in (
        (nowhere, SceneError, "no regular coordinates|no CRS"),
        (array.drop_vars("spatial_ref"), SceneError, "no CRS: give it one"),
        (times, SceneError, "time, band, y, x"),
        (array[:2], BandError, "has 2 bands"),
        (array.astype(complex), SceneError, "real numbers"),
    ):
        with pytest.raises(error, match=says):
            predict_array(odd, model=model)
    with pytest.raises(ConfigError, match="batch size 0"):
        predict_array(array, model=model, batch_size=0)
