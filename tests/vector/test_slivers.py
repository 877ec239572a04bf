from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label

from geoconvlora.vector.parts import NOTHING
from geoconvlora.vector.ragged import RaggedPolygons
from geoconvlora.vector.regions import Regions, RegionTracer
from geoconvlora.vector.slivers import Slivers

rasters = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 20), st.integers(1, 10)),
    elements=st.sampled_from([NOTHING, 0, 0, 1, 1, 2]),
)


def _area(polygons: RaggedPolygons) -> np.ndarray:
    return shapely.area(polygons.to_shapely())


def _trace(labels, limit, *, block_rows=99, simplify_px=0.0) -> Regions:
    tracer = RegionTracer(
        labels.shape[1],
        simplify_px=simplify_px,
        slivers=Slivers(limit, _area),
        block_rows=block_rows,
    )
    return Regions.join([tracer.feed(labels), tracer.finish()])


def _given_away(labels, limit):
    """Slow and plain: all small regions of the whole raster at once."""
    regions = label(labels, background=NOTHING - 1, connectivity=1)
    size = np.bincount(regions.ravel())
    labelled = {r: labels[regions == r][0] for r in range(1, len(size))}
    large = {r for r, value in labelled.items() if value != NOTHING and size[r] >= limit}
    pairs = np.concatenate(
        [
            np.stack([regions[:, 1:].ravel(), regions[:, :-1].ravel()], 1),
            np.stack([regions[1:].ravel(), regions[:-1].ravel()], 1),
        ]
    )
    result = labels.copy()
    for region, value in labelled.items():
        if value == NOTHING or region in large:
            continue
        beside = np.concatenate([pairs[pairs[:, 0] == region, 1], pairs[pairs[:, 1] == region, 0]])
        values = [labelled[r] for r in beside if r != region and r in large]
        if values:
            found, border = np.unique(values, return_counts=True)
            result[regions == region] = found[border.argmax()]
    return result


@example(np.array([[0], [0], [1], [0], [1]]), 1, 2)
@settings(max_examples=80, deadline=None)
@given(rasters, st.integers(1, 21), st.sampled_from([2, 3, 6]))
def test_slivers_go_where_the_whole_raster_says_for_every_block_height(labels, block_rows, limit):
    expected = _given_away(labels, limit)
    traced = _trace(labels, limit, block_rows=block_rows)
    drawn = traced.polygons.to_shapely()
    assert shapely.is_valid(drawn).all()
    assert not len(drawn) or shapely.coverage_is_valid(drawn)
    rows, columns = np.indices(labels.shape)
    seen = np.full(labels.shape, NOTHING)
    for polygon, value in zip(drawn, traced.labels, strict=True):
        seen[shapely.contains_xy(polygon, columns + 0.5, rows + 0.5)] = value
    np.testing.assert_array_equal(seen, expected)
    regions = label(expected, background=NOTHING, connectivity=1)
    assert len(traced) == regions.max()


@pytest.mark.parametrize("block_rows", [1, 4, 99])
def test_a_coverage_without_slivers_stays_whole_after_simplification(block_rows):
    labels = np.random.default_rng(4).integers(0, 9, (60, 40)) // 4
    polygons = _trace(labels, 6, block_rows=block_rows, simplify_px=1.0).polygons.to_shapely()
    assert shapely.coverage_is_valid(polygons)
    assert shapely.area(polygons).sum() == pytest.approx(labels.size)


def test_the_longest_border_decides():
    labels = np.array([[1, 1, 1, 1, 2, 2], [1, 1, 5, 2, 2, 2], [1, 1, 1, 2, 2, 2]])
    traced = _trace(labels, 2)
    assert dict(zip(traced.labels, traced.pixels, strict=True)) == {1: 10, 2: 8}


def test_a_sliver_that_parts_a_region_joins_its_halves():
    labels = np.ones((5, 5), np.int64)
    labels[2] = 7
    traced = _trace(labels, 6)
    assert traced.pixels.tolist() == [25]
