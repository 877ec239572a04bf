"""Connectivity 8: regions that touch at corners are parts of one multipolygon."""

from __future__ import annotations

from itertools import pairwise

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from region_checks import assert_regions_of, rasters

from geoconvlora.errors import ConfigError, OutputError
from geoconvlora.vector import PolygonOptions, polygonize
from geoconvlora.vector.holes import Holes
from geoconvlora.vector.parts import NOTHING
from geoconvlora.vector.regions import Regions, RegionTracer

EIGHT = PolygonOptions(simplify_px=0, connectivity=8)

ADVERSARIAL = {
    "checkerboard": np.indices((17, 9)).sum(axis=0) % 2,
    "diagonals": (np.indices((19, 12))[0] - np.indices((19, 12))[1]) % 3,
    "chevrons": np.abs(np.indices((20, 15))[1] - 7 - np.indices((20, 15))[0]) % 4,
    "on nothing": np.where(np.indices((16, 16)).sum(axis=0) % 2, 1, NOTHING),
    "one label": np.ones((13, 6), np.int64),
    "nothing": np.full((13, 6), NOTHING),
}


def _trace(labels, feed_rows, *, simplify_px=0.0, block_rows=4, holes=None) -> Regions:
    weights = np.random.default_rng(0).random(labels.shape, np.float32)
    tracer = RegionTracer(
        labels.shape[1], simplify_px=simplify_px, corners=True, block_rows=block_rows, holes=holes
    )
    done = [
        tracer.feed(labels[row : row + feed_rows], weights[row : row + feed_rows])
        for row in range(0, len(labels), feed_rows)
    ]
    return Regions.join([*done, tracer.finish()])


def _shapes(regions: Regions) -> list[shapely.MultiPolygon]:
    written, offsets = regions.polygons.to_multi_wkb(regions.members)
    return [shapely.from_wkb(written[start:end].tobytes()) for start, end in pairwise(offsets)]


def _rows(regions: Regions) -> list[tuple]:
    """Everything about each region, parts in any order."""
    shapes = [shape.normalize().wkb_hex for shape in _shapes(regions)]
    columns = regions.labels, regions.pixels, regions.weight.round(9), regions.least
    return sorted(zip(shapes, *(column.tolist() for column in columns), strict=True))


def _assert_regions_of(labels: np.ndarray, traced: Regions) -> None:
    assert_regions_of(labels, traced, _shapes(traced), connectivity=8)


@settings(max_examples=60, deadline=None)
@given(rasters, st.integers(1, 7), st.integers(1, 25))
def test_regions_are_the_8_connected_ones_for_every_block_and_feed(labels, block_rows, feed_rows):
    _assert_regions_of(labels, _trace(labels, feed_rows, block_rows=block_rows))


@pytest.mark.parametrize("block_rows", [1, 3, 8])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_rasters(name, block_rows):
    _assert_regions_of(ADVERSARIAL[name], _trace(ADVERSARIAL[name], 5, block_rows=block_rows))


@settings(max_examples=60, deadline=None)
@given(rasters, st.sampled_from([0.5, 1.0, 5.0]), st.integers(1, 25), st.integers(1, 21))
def test_simplified_they_are_valid_share_nothing_and_no_block_moves_them(
    labels, simplify_px, feed_rows, block_rows
):
    whole = _trace(labels, 99, simplify_px=simplify_px, block_rows=99)
    fed = _trace(labels, feed_rows, simplify_px=simplify_px, block_rows=block_rows)
    assert _rows(whole) == _rows(fed)
    shapes = _shapes(fed)
    assert all(shapely.is_valid(shapes))
    polygons = fed.polygons.to_shapely()
    assert not len(polygons) or shapely.coverage_is_valid(polygons)


@settings(max_examples=30, deadline=None)
@given(rasters)
def test_as_many_as_gdal_finds_and_as_large(labels):
    valid = labels != NOTHING
    values = np.where(valid, labels, 0).astype(np.int32)
    found = list(rasterio.features.shapes(values, valid, connectivity=8))
    traced = _trace(labels, 99)
    # GDAL's shapes pass a point twice where a region touches itself: their areas are right.
    theirs = sorted((value, shapely.geometry.shape(shape).area) for shape, value in found)
    ours = sorted(zip(traced.labels.tolist(), traced.pixels.tolist(), strict=True))
    assert ours == theirs


def test_one_part_has_a_hole_that_is_filled():
    labels = np.full((9, 7), NOTHING)
    labels[1:4, 1:4] = 1
    labels[2, 2] = NOTHING
    labels[4, 4] = 1
    holes = Holes(2.0, lambda polygons: shapely.area(polygons.to_shapely()))
    (region,) = _shapes(_trace(labels, 2, holes=holes))
    assert (region.area, len(region.geoms)) == (10, 2)


@pytest.fixture
def diagonal(write_raster):
    """A diagonal of three pixels of class 2 and a square of class 1."""
    values = np.zeros((8, 8), np.uint8)
    values[[0, 1, 2], [0, 1, 2]] = 2
    values[5:7, 5:7] = 1
    return write_raster(values, nodata=0)


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet", ".geojson"])
def test_files_hold_multipolygons_with_sums_of_their_parts(diagonal, tmp_path, suffix):
    out = tmp_path / f"map{suffix}"
    polygonize(diagonal, out, options=EIGHT)
    read = gpd.read_parquet if suffix == ".parquet" else gpd.read_file
    frame = read(out).sort_values("class_id")
    assert frame.geom_type.unique().tolist() == ["MultiPolygon"]
    assert frame.is_valid.all()
    assert frame.geometry.count_geometries().tolist() == [1, 3]
    # A pixel has 10 m; UTM's scale at its middle makes the areas about 0.08 % larger.
    np.testing.assert_allclose(frame["area_m2"], [400, 300], rtol=2e-3)
    np.testing.assert_allclose(frame["perimeter_m"], [80, 120], rtol=2e-3)
    if suffix == ".parquet":
        geo = pq.ParquetFile(out).metadata.metadata[b"geo"]
        assert b'"geometry_types": ["MultiPolygon"]' in geo


def test_polygons_below_the_smallest_area_are_those_whose_parts_together_are(diagonal):
    options = PolygonOptions(simplify_px=0, connectivity=8, min_area_m2=250)
    frame = polygonize(diagonal, options=options)
    assert sorted(frame["class_id"]) == [1, 2]
    four = polygonize(diagonal, options=PolygonOptions(simplify_px=0, min_area_m2=250))
    assert sorted(four["class_id"]) == [1]
    assert set(four.geom_type) == {"Polygon"}


def test_a_layer_of_polygons_takes_no_multipolygons(diagonal, tmp_path):
    out = tmp_path / "map.gpkg"
    polygonize(diagonal, out)
    before = out.read_bytes()
    with pytest.raises(OutputError, match="is of Polygons, not of MultiPolygons"):
        polygonize(diagonal, out, options=EIGHT, append=True)
    assert out.read_bytes() == before
    polygonize(diagonal, out, options=EIGHT, append=True, layer="eight")
    polygonize(diagonal, out, options=EIGHT, append=True, layer="eight")
    assert pyogrio.read_info(out, layer="eight")["features"] == 4


def test_a_layer_of_any_geometries_takes_both(diagonal, tmp_path):
    out = tmp_path / "map.gpkg"
    frame = polygonize(diagonal, options=EIGHT).assign(date=None, model_sha256=None)
    frame["date"] = frame["date"].astype(str)
    frame["model_sha256"] = frame["model_sha256"].astype(str)
    pyogrio.write_dataframe(frame, out, layer="any", geometry_type="Unknown")
    polygonize(diagonal, out, options=EIGHT, append=True, layer="any")
    polygonize(diagonal, out, append=True, layer="any")
    assert pyogrio.read_info(out, layer="any")["features"] == 2 + 2 + 4


@pytest.mark.parametrize(
    "others", [{"neighbours": True}, {"min_area_to": "neighbour", "min_area_m2": 5.0}]
)
def test_what_knows_single_polygons_only_is_refused(others):
    with pytest.raises(ConfigError, match="several parts"):
        PolygonOptions(connectivity=8, **others)


def test_other_connectivities_are_refused():
    with pytest.raises(ConfigError, match="connectivity is 6: choose 4 or 8"):
        PolygonOptions(connectivity=6)
