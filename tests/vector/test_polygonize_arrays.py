"""Arrays and DataArrays to polygons: the same as from their files."""

from __future__ import annotations

import json

import numpy as np
import odc.geo.xr
import pytest
import rioxarray
import xarray as xr
from affine import Affine
from geopandas.testing import assert_geodataframe_equal
from odc.geo.geobox import GeoBox

from geoconvlora.errors import BandError, ConfigError, SceneError
from geoconvlora.vector import PolygonOptions, polygonize

GRID = GeoBox((40, 30), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32631")
TAGS = {
    "GEOCONVLORA_CLASSES": json.dumps(
        [{"id": i, "name": name, "color": "#00ff00"} for i, name in enumerate(["a", "b", "c"])]
    )
}


def _classes(dtype: str = "uint8") -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 3, (20, 15))
    return np.kron(coarse, np.ones((2, 2))).astype(dtype)


def _same(one, other) -> None:
    assert_geodataframe_equal(one.drop(columns="scene"), other.drop(columns="scene"))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_an_array_gives_the_polygons_of_its_file(write_raster, dtype):
    from_file = polygonize(write_raster(_classes(), nodata=1))
    _same(polygonize(_classes(dtype), geobox=GRID, nodata=1), from_file)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("chunks", [None, 16])
def test_what_rioxarray_opens_gives_the_polygons_of_its_file(write_raster, masked, chunks):
    if chunks:
        pytest.importorskip("dask")
    path = write_raster(_classes(), nodata=1, tags=TAGS)
    with rioxarray.open_rasterio(path, masked=masked, chunks=chunks) as opened:
        found = polygonize(opened)
    assert set(found["class"]) == {"a", "c"}
    _same(found, polygonize(path))


def test_each_chunk_of_lazy_arrays_is_computed_once(monkeypatch):
    array = pytest.importorskip("dask.array")
    monkeypatch.setattr("geoconvlora.vector.labels.Labels.read_pixels", 1)
    computed = []

    def lazily(values):
        def counted(block, block_info=None):
            computed.append(block_info[0]["chunk-location"])
            return block

        chunks = (*values.shape[:-2], 20, 30)
        return array.from_array(values, chunks).map_blocks(counted, dtype=values.dtype)

    chance = np.random.default_rng(1).random((3, 40, 30), np.float32)
    wanted = polygonize(_classes("int32"), geobox=GRID, probs=chance)
    computed.clear()
    labels = xr.Variable(("y", "x"), lazily(_classes("int32")))
    grid = odc.geo.xr.xr_coords(GRID)
    found = polygonize(xr.DataArray(labels, grid), probs=lazily(chance))
    assert sorted(computed, key=str) == [(0, 0), (0, 0, 0), (0, 1, 0), (1, 0)]
    _same(found, wanted)


def test_a_data_array_of_odc_geo_has_its_grid(write_raster):
    array = odc.geo.xr.wrap_xr(_classes(), GRID, nodata=1)
    _same(polygonize(array), polygonize(write_raster(_classes(), nodata=1)))


def test_objects_and_their_probabilities_may_be_arrays():
    values = np.zeros((40, 30), np.int32)
    values[2:8, 2:8], values[2:8, 8:14] = 7, 9
    chance = np.where(values == 7, np.float32(0.75), np.float32(0.5))
    polygons = polygonize(values, geobox=GRID, probs=chance, instances=True)
    assert polygons["confidence"].tolist() == [0.75, 0.5]
    assert set(polygons["class"]) == {"object"}


def test_an_array_is_written_like_a_file(tmp_path):
    result = polygonize(_classes(), tmp_path / "o.parquet", geobox=GRID, layer="mine")
    assert result.layer == "mine"
    assert result.polygons == len(polygonize(_classes(), geobox=GRID))


@pytest.mark.parametrize(
    ("values", "settings", "error", "message"),
    [
        (np.zeros((4, 4), int), {}, ConfigError, "geobox"),
        (np.zeros((4, 4), int), {"geobox": GRID}, SceneError, r"shape \(4, 4\)"),
        (np.full((40, 30), 0.5), {"geobox": GRID}, SceneError, "fractions"),
        (np.full((40, 30), "a"), {"geobox": GRID}, SceneError, "integers"),
        (xr.DataArray(np.zeros((4, 4), int), dims=("y", "x")), {}, SceneError, "its place"),
        (_classes(), {"geobox": GRID, "probs": np.ones((3, 3))}, SceneError, "not on the grid"),
        (_classes(), {"geobox": GRID, "probs": np.ones((2, 40, 30))}, BandError, "class 2"),
        (_classes(), {"geobox": GRID, "probs": "p.tif"}, ConfigError, "an array too"),
        ("m.tif", {"geobox": GRID}, ConfigError, "has its own grid"),
        ("m.tif", {"probs": np.ones((3, 3))}, ConfigError, "a file too"),
    ],
)
def test_what_does_not_go_together_is_refused(values, settings, error, message):
    with pytest.raises(error, match=message):
        polygonize(values, **settings)


def test_classes_of_an_array_are_chosen_by_value():
    chosen = polygonize(_classes(), geobox=GRID, options=PolygonOptions(classes=(2,)))
    assert set(chosen["class"]) == {"class_2"}
