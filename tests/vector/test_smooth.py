from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from geoconvlora.vector import PolygonOptions, polygonize, trace
from geoconvlora.vector.parts import NOTHING
from geoconvlora.vector.regions import Regions, RegionTracer

rasters = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 20), st.integers(1, 12)),
    elements=st.sampled_from([NOTHING, 0, 0, 1, 1, 2]),
)
simplified = st.sampled_from([0.0, 0.5, 1.0, 3.0])
smoothed = st.sampled_from([0.3, 1.0, 2.5, 20.0])


def _trace(labels, simplify_px, smooth_px, feed_rows=99, extent=None) -> Regions:
    tracer = RegionTracer(
        labels.shape[1],
        simplify_px=simplify_px,
        smooth_px=smooth_px,
        block_rows=min(feed_rows, 16),
        extent=extent,
    )
    done = [tracer.feed(labels[row : row + feed_rows]) for row in range(0, len(labels), feed_rows)]
    return Regions.join([*done, tracer.finish()])


def _assert_sound(polygons) -> None:
    assert shapely.is_valid(polygons).all()
    assert not len(polygons) or shapely.coverage_is_valid(polygons)
    union = shapely.area(shapely.union_all(polygons))
    assert shapely.area(polygons).sum() == pytest.approx(union)


@settings(max_examples=80, deadline=None)
@given(rasters, simplified, smoothed)
@example(np.indices((12, 12)).sum(axis=0) % 2, 0.0, 20.0)
@example(np.maximum(*np.abs(np.indices((19, 19)) - 9)) % 3, 1.0, 20.0)
@example(np.pad(np.full((1, 1), 5), 4, constant_values=NOTHING), 1.0, 1.0)
def test_smoothed_polygons_stay_a_valid_coverage(labels, simplify_px, smooth_px):
    _assert_sound(_trace(labels, simplify_px, smooth_px).polygons.to_shapely())


@settings(max_examples=60, deadline=None)
@given(rasters, smoothed)
def test_a_raster_without_gaps_is_still_covered(labels, smooth_px):
    labels = np.where(labels == NOTHING, 3, labels)
    polygons = _trace(labels, 1.0, smooth_px).polygons.to_shapely()
    assert shapely.area(polygons).sum() == pytest.approx(labels.size)
    assert shapely.union_all(polygons).equals(shapely.box(0, 0, *labels.shape[::-1]))


@settings(max_examples=60, deadline=None)
@given(rasters, simplified, smoothed)
def test_no_outline_moves_by_more_than_its_share_of_the_distance(labels, simplify_px, smooth_px):
    before = _trace(labels, simplify_px, 0.0).polygons.to_shapely()
    after = _trace(labels, simplify_px, smooth_px).polygons.to_shapely()
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        assert len(one.interiors) == len(other.interiors)
        moved = shapely.hausdorff_distance(one.boundary, other.boundary, densify=0.25)
        assert moved <= smooth_px * 5 / 9 + 1e-9


@settings(max_examples=60, deadline=None)
@given(rasters, simplified, smoothed, st.integers(1, 20))
def test_result_does_not_depend_on_feeds_or_blocks(labels, simplify_px, smooth_px, feed_rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "stripe_rows", lambda width: 7)
        whole = _trace(labels, simplify_px, smooth_px)
        fed = _trace(labels, simplify_px, smooth_px, feed_rows)
    rows = [sorted(shapely.to_wkb(r.polygons.to_shapely(), hex=True)) for r in (whole, fed)]
    assert rows[0] == rows[1]
    _assert_sound(whole.polygons.to_shapely())


@settings(max_examples=40, deadline=None)
@given(rasters, smoothed, st.floats(0.1, 1), st.floats(0.1, 1))
def test_last_rows_and_columns_may_be_partial(labels, smooth_px, rows, columns):
    extent = labels.shape[0] - 1 + rows, labels.shape[1] - 1 + columns
    polygons = _trace(labels, 1.0, smooth_px, extent=extent).polygons.to_shapely()
    _assert_sound(polygons)
    assert not len(polygons) or (shapely.total_bounds(polygons)[2:] <= extent[::-1]).all()


def test_corners_become_curves_over_the_distance():
    labels = np.full((30, 30), NOTHING)
    labels[10:20, 10:20] = 1
    (square,) = _trace(labels, 1.0, 3.0).polygons.to_shapely()
    assert shapely.get_num_coordinates(square) == 17
    # Of a triangle of 3 x 3 / 2 at each corner, the part beyond four points of its parabola.
    assert square.area == pytest.approx(100 - 4 * 9 / 2 * 11 / 27)
    x, y = square.exterior.coords[0]
    assert min(abs(x - 10), abs(x - 20), abs(y - 10), abs(y - 20)) == 0


def test_columns_are_measured_on_the_smoothed_outline(utm_grid):
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(60, 40)), 2)
    classes = np.digitize(noise, [0.0])
    options = PolygonOptions(smooth_px=2)
    polygons = polygonize(classes, geobox=utm_grid(60, 40), options=options)
    plain = polygonize(classes, geobox=utm_grid(60, 40))
    assert polygons["perimeter_m"].sum() < plain["perimeter_m"].sum()
    assert polygons["area_m2"].tolist() == pytest.approx(polygons.area.tolist(), rel=2e-3)
