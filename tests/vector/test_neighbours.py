from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.measure import label

from geoconvlora.scenes.origin import Origin
from geoconvlora.vector import MapPolygons, PolygonOptions, polygonize
from geoconvlora.vector.neighbours import Neighbours
from geoconvlora.vector.parts import NOTHING
from geoconvlora.vector.ragged import RaggedPolygons
from geoconvlora.vector.regions import Regions, RegionTracer
from geoconvlora.weights.card import ClassInfo, InstanceRule

rasters = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 24), st.integers(1, 9)),
    elements=st.sampled_from([NOTHING, 0, 0, 1, 1, 2]),
)


def _area(polygons: RaggedPolygons) -> np.ndarray:
    return shapely.area(polygons.to_shapely())


def _trace(labels, block_rows, min_area=0.0, weights=None, min_weight=0.0) -> Regions:
    count = Neighbours(_area, min_area_m2=min_area, min_weight=min_weight)
    tracer = RegionTracer(
        labels.shape[1], simplify_px=0, neighbours=count, block_rows=min(block_rows, 99)
    )
    return Regions.join([tracer.feed(labels, weights), tracer.finish()])


def _counted(labels, min_area=0.0, weights=None, min_weight=0.0):
    """Slow and plain: number of neighbours by a region's first pixel, small regions left out."""
    regions = label(labels, background=NOTHING, connectivity=1)
    weights = np.zeros(labels.shape) if weights is None else weights
    written = {
        r
        for r in range(1, regions.max() + 1)
        if (regions == r).sum() >= min_area and weights[regions == r].mean() >= min_weight
    }
    beside = {r: set() for r in written}
    for one, other in [(regions[1:], regions[:-1]), (regions[:, 1:], regions[:, :-1])]:
        for pair in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True):
            if pair[0] != pair[1] and written.issuperset(pair):
                beside[pair[0]].add(pair[1])
                beside[pair[1]].add(pair[0])
    first = {r: int(np.flatnonzero(regions.ravel() == r)[0]) for r in written}
    return {first[r]: len(others) for r, others in beside.items()}


def _by_first_pixel(traced: Regions, shape, keep) -> dict[int, int]:
    rows, columns = np.indices(shape)
    found = {}
    for polygon, number in zip(
        traced.polygons.to_shapely()[keep], traced.neighbours[keep], strict=True
    ):
        inside = shapely.contains_xy(polygon, columns + 0.5, rows + 0.5)
        found[int(np.flatnonzero(inside.ravel())[0])] = int(number)
    return found


@settings(max_examples=80, deadline=None)
@given(rasters, st.integers(1, 25))
def test_neighbours_are_the_regions_that_share_an_edge(labels, block_rows):
    traced = _trace(labels, block_rows)
    every = np.ones(len(traced), bool)
    assert _by_first_pixel(traced, labels.shape, every) == _counted(labels)


@settings(max_examples=80, deadline=None)
@given(rasters, st.integers(1, 25), st.integers(2, 9), st.sampled_from([0.0, 0.4]))
def test_regions_that_are_not_written_count_for_nobody(labels, block_rows, min_area, min_weight):
    weights = np.random.default_rng(0).random(labels.shape, np.float32)
    traced = _trace(labels, block_rows, min_area, weights, min_weight)
    keep = (traced.pixels >= min_area) & (traced.weight >= min_weight)
    expected = _counted(labels, min_area, weights, min_weight)
    assert _by_first_pixel(traced, labels.shape, keep) == expected


def test_two_arms_that_meet_further_down_are_one_neighbour():
    labels = np.ones((12, 5), np.int64)
    labels[2:4, 1:4] = 2
    labels[0, 2] = labels[1, 2] = 3
    labels[:2, 2] = 3
    labels[4:9, 2] = 4
    traced = _trace(labels, 1)
    assert dict(zip(traced.labels, traced.neighbours, strict=True)) == {1: 3, 2: 3, 3: 2, 4: 2}


def test_regions_beside_a_large_open_one_leave_without_waiting_for_it():
    labels = np.ones((200, 6), np.int64)
    labels[::2, 2:4] = np.arange(100)[:, None] + 2
    tracer = RegionTracer(6, simplify_px=0, neighbours=Neighbours(_area), block_rows=16)
    assert len(tracer.feed(labels)) >= 80


def _sharing(polygons: gpd.GeoDataFrame) -> list[int]:
    """Of each polygon, how many others it shares a line with."""
    shapes = polygons.geometry.to_numpy()
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    common = shapely.length(shapely.intersection(shapes[one], shapes[other]))
    return np.bincount(one[(one != other) & (common > 0)], minlength=len(shapes)).tolist()


@pytest.mark.parametrize("min_area_to", ["nothing", "neighbour"])
def test_the_column_agrees_with_the_written_outlines(tmp_path, utm_grid, min_area_to):
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(600, 40)), 2)
    classes = np.digitize(noise, [-0.1, 0.0, 0.1])
    options = PolygonOptions(
        neighbours=True, min_area_m2=1500, min_area_to=min_area_to, fill_holes_m2=500
    )
    path = tmp_path / "p.gpkg"
    polygonize(classes, path, geobox=utm_grid(600, 40), nodata=0, options=options)
    polygons = gpd.read_file(path, layer="classes")
    assert polygons["neighbours"].tolist() == _sharing(polygons)
    assert polygons["neighbours"].max() > 2


@pytest.mark.parametrize("feed_rows", [7, 1000])
def test_neighbours_of_objects_are_those_that_are_written(utm_grid, feed_rows):
    noise = np.random.default_rng(4).normal(size=(3, 120, 60))
    smooth = np.exp(ndimage.gaussian_filter(noise, (0, 3, 3)) * 25)
    probabilities = (smooth / smooth.sum(axis=0)).astype(np.float32)
    names = ["background", "field", "edge"]
    stream = MapPolygons(
        geobox=utm_grid(120, 60),
        classes=[ClassInfo(id=i, name=name, color="#123456") for i, name in enumerate(names)],
        rule=InstanceRule(interior=1, boundary=2, name="field", min_area_m2=900, min_extent=0.7),
        options=PolygonOptions(neighbours=True),
        origin=Origin("scene", model="model"),
        block_rows=16,
    )
    valid = np.ones((feed_rows, 60), bool)
    done = []
    for row in range(0, 120, feed_rows):
        rows = probabilities[:, row : row + feed_rows]
        done.append(stream.feed(rows, valid[: rows.shape[1]]))
    polygons = gpd.GeoDataFrame(pd.concat([*done, stream.finish()], ignore_index=True))
    assert polygons["neighbours"].tolist() == _sharing(polygons)
    assert polygons["neighbours"].max() > 2


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet", ".geojson"])
@pytest.mark.parametrize("fiboa", [False, True])
def test_every_format_has_the_column_where_it_was_asked_for(tmp_path, utm_grid, suffix, fiboa):
    path = tmp_path / f"p{suffix}"
    options = PolygonOptions(neighbours=True, simplify_px=0)
    polygonize(np.array([[1, 2, 2]]), path, geobox=utm_grid(1, 3), options=options, fiboa=fiboa)
    read = gpd.read_parquet if suffix == ".parquet" else gpd.read_file
    assert read(path)["neighbours"].tolist() == [1, 1]
