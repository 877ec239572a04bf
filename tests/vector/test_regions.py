from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from region_checks import assert_regions_of, rasters
from scipy import ndimage
from skimage.measure import label

from geoconvlora.vector import trace
from geoconvlora.vector.holes import Holes
from geoconvlora.vector.parts import NOTHING
from geoconvlora.vector.ragged import RaggedPolygons
from geoconvlora.vector.regions import Regions, RegionTracer


def _spiral(size: int) -> np.ndarray:
    raster = np.zeros((size, size), np.int64)
    row, column, step = 0, 0, (0, 1)
    for _ in range(size * size):
        raster[row, column] = 1
        for _ in range(4):
            ahead = row + 2 * step[0], column + 2 * step[1]
            beside = row + step[0], column + step[1]
            free = 0 <= beside[0] < size and 0 <= beside[1] < size and not raster[beside]
            far = 0 <= ahead[0] < size and 0 <= ahead[1] < size
            if free and not (far and raster[ahead]):
                break
            step = step[1], -step[0]
        else:
            break
        row, column = row + step[0], column + step[1]
    return raster


ADVERSARIAL = {
    "checkerboard": np.indices((17, 9)).sum(axis=0) % 2,
    "rings": np.maximum(*np.abs(np.indices((19, 19)) - 9)) % 3,
    "spiral": _spiral(21),
    "lines": np.indices((18, 7))[1] % 2,
    "rows": np.indices((18, 7))[0] % 2,
    "comb": np.where(np.indices((18, 9))[0] == 17, 1, np.indices((18, 9))[1] % 2),
    "one label": np.ones((13, 6), np.int64),
    "nothing": np.full((13, 6), NOTHING),
    "one pixel": np.ones((1, 1), np.int64),
    "island": np.pad(np.full((1, 1), 5), 8, constant_values=NOTHING),
}


def _trace(labels, feed_rows, *, simplify_px=0.0, block_rows=4, holes=None, weights=None):
    weights = np.ones(labels.shape, np.float32) if weights is None else weights
    tracer = RegionTracer(
        labels.shape[1], simplify_px=simplify_px, holes=holes, block_rows=block_rows
    )
    done = [
        tracer.feed(labels[row : row + feed_rows], weights[row : row + feed_rows])
        for row in range(0, len(labels), feed_rows)
    ]
    return Regions.join([*done, tracer.finish()])


def _rows(regions: Regions) -> list[tuple]:
    """Everything about each region, as it is stored."""
    shapes = shapely.to_wkb(regions.polygons.to_shapely(), hex=True).tolist()
    columns = regions.labels, regions.pixels, regions.weight, regions.least, regions.filled
    return list(zip(shapes, *(column.tolist() for column in columns), strict=True))


def _area(polygons: RaggedPolygons) -> np.ndarray:
    return shapely.area(polygons.to_shapely())


def _assert_same(one: Regions, other: Regions) -> None:
    assert _rows(one) == _rows(other)


def _assert_regions_of(labels, traced: Regions) -> None:
    assert_regions_of(labels, traced, traced.polygons.to_shapely(), connectivity=4)


@settings(max_examples=40, deadline=None)
@given(rasters, st.integers(1, 7), st.integers(1, 25))
def test_streamed_regions_are_the_rasters_connected_regions(labels, block_rows, feed_rows):
    _assert_regions_of(labels, _trace(labels, feed_rows, block_rows=block_rows))


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_rasters_give_their_connected_regions(name):
    _assert_regions_of(ADVERSARIAL[name], _trace(ADVERSARIAL[name], 5))


@settings(max_examples=60, deadline=None)
@given(rasters, st.sampled_from([0.0, 1.0, 4.0]), st.integers(1, 25), st.integers(1, 21))
def test_result_does_not_depend_on_block_heights(labels, simplify_px, feed_rows, block_rows):
    weights = np.random.default_rng(0).random(labels.shape, np.float32)
    whole = _trace(labels, 99, simplify_px=simplify_px, weights=weights, block_rows=99)
    fed = _trace(labels, feed_rows, simplify_px=simplify_px, weights=weights, block_rows=block_rows)
    assert sorted(_rows(whole)) == sorted(_rows(fed))


@pytest.mark.parametrize("block_rows", [1, 2, 5, 16])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_results_do_not_depend_on_block_heights(name, block_rows):
    labels = ADVERSARIAL[name]
    whole = _trace(labels, 99, simplify_px=1.0, block_rows=99)
    fed = _trace(labels, 3, simplify_px=1.0, block_rows=block_rows)
    assert sorted(_rows(whole)) == sorted(_rows(fed))


@settings(max_examples=60, deadline=None)
@given(rasters, st.sampled_from([1.0, 3.0]), st.integers(1, 25), st.integers(1, 21))
def test_stripes_leave_a_valid_coverage_that_no_feed_or_block_moves(
    labels, simplify_px, feed_rows, block_rows
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "stripe_rows", lambda width: 3)
        whole = _trace(labels, 99, simplify_px=simplify_px, block_rows=99)
        fed = _trace(labels, feed_rows, simplify_px=simplify_px, block_rows=block_rows)
    assert sorted(_rows(whole)) == sorted(_rows(fed))
    polygons = fed.polygons.to_shapely()
    assert shapely.is_valid(polygons).all()
    assert not len(polygons) or shapely.coverage_is_valid(polygons)
    inside = shapely.area(shapely.union_all(polygons)) if len(polygons) else 0.0
    assert shapely.area(polygons).sum() == pytest.approx(inside)


@settings(max_examples=30, deadline=None)
@given(rasters, st.sampled_from([0.0, 1.0, 4.0]), st.integers(1, 25))
def test_result_does_not_depend_on_feed_heights(labels, simplify_px, feed_rows):
    weights = np.random.default_rng(0).random(labels.shape, np.float32)
    whole = _trace(labels, len(labels), simplify_px=simplify_px, weights=weights)
    fed = _trace(labels, feed_rows, simplify_px=simplify_px, weights=weights)
    _assert_same(whole, fed)


@pytest.mark.parametrize("feed_rows", [1, 3, 4, 5, 8, 30])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_results_do_not_depend_on_feed_heights(name, feed_rows):
    labels = ADVERSARIAL[name]
    _assert_same(
        _trace(labels, len(labels), simplify_px=1.0), _trace(labels, feed_rows, simplify_px=1.0)
    )


@settings(max_examples=60, deadline=None)
@given(rasters, st.sampled_from([0.5, 1.0, 2.0, 5.0]), st.integers(1, 6))
def test_simplified_regions_do_not_overlap_across_blocks(labels, simplify_px, block_rows):
    polygons = _trace(
        labels, 3, simplify_px=simplify_px, block_rows=block_rows
    ).polygons.to_shapely()
    assert shapely.is_valid(polygons).all()
    assert set(shapely.get_type_id(polygons)) <= {shapely.GeometryType.POLYGON.value}
    assert not len(polygons) or shapely.coverage_is_valid(polygons)
    union = shapely.area(shapely.union_all(polygons))
    assert shapely.area(polygons).sum() == pytest.approx(union)


def test_full_coverage_stays_without_gaps_after_simplification():
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(40, 30)), 2)
    labels = np.digitize(noise, [-0.1, 0.0, 0.1])
    polygons = _trace(labels, 7, simplify_px=2.0, block_rows=8).polygons.to_shapely()
    assert shapely.coverage_is_valid(polygons)
    assert shapely.area(polygons).sum() == pytest.approx(labels.size)
    assert shapely.union_all(polygons).equals(shapely.box(0, 0, 30, 40))


def test_weight_is_the_mean_over_the_regions_pixels():
    labels = np.repeat([[1, 2]], 10, axis=0)
    weights = np.stack([np.arange(10), np.full(10, 3)], axis=1).astype(np.float32)
    traced = _trace(labels, 3, weights=weights)
    assert dict(zip(traced.labels, traced.weight, strict=True)) == {1: 4.5, 2: 3.0}
    assert dict(zip(traced.labels, traced.least, strict=True)) == {1: 0.0, 2: 3.0}


def test_only_open_regions_are_held_back():
    labels = np.repeat(np.arange(100), 4)[:, None] * np.ones((1, 5), np.int64)
    tracer = RegionTracer(5, simplify_px=1.0, block_rows=8)
    given_back = len(tracer.feed(labels, np.ones(labels.shape, np.float32)))
    assert given_back >= 96
    assert len(tracer._graph.labels) <= 2
    assert tracer._graph.arcs <= 10


def test_relabelled_parts_become_one_region():
    labels = np.array([[1, 2], [1, 2], [1, 1]])
    tracer = RegionTracer(2, simplify_px=0, block_rows=1)
    weights = np.ones((1, 2), np.float32)
    early = [tracer.feed(labels[:1], weights), tracer.feed(labels[1:2], weights)]
    tracer.relabel(np.array([2]), np.array([1]))
    traced = Regions.join([*early, tracer.feed(labels[2:], weights), tracer.finish()])
    assert traced.pixels.tolist() == [6]
    assert traced.polygons.to_shapely()[0].equals(shapely.box(0, 0, 2, 3))


@settings(max_examples=60, deadline=None)
@given(rasters, st.integers(0, 20), st.sampled_from([0.0, 1.0]))
def test_relabelled_rasters_have_the_regions_of_the_new_labels(labels, row, simplify_px):
    renamed = np.where(labels == 2, 1, labels)
    tracer = RegionTracer(labels.shape[1], simplify_px=simplify_px, block_rows=99)
    done = [tracer.feed(labels[:row])]
    tracer.relabel(np.array([2]), np.array([1]))
    traced = Regions.join([*done, tracer.feed(renamed[row:]), tracer.finish()])
    polygons = traced.polygons.to_shapely()
    assert shapely.is_valid(polygons).all()
    assert not len(polygons) or shapely.coverage_is_valid(polygons)
    if simplify_px == 0:
        _assert_regions_of(renamed, traced)


def _filled(labels, limit):
    """Slow and plain: patches enclosed by one region take its label."""
    labels = labels.copy()
    patches = label(labels == NOTHING, connectivity=1)
    regions = label(labels, background=NOTHING, connectivity=1)
    for patch in range(1, patches.max() + 1):
        inside = patches == patch
        framed = np.pad(inside, 1)
        around = ndimage.binary_dilation(framed) & ~framed
        at_edge = around.copy()
        at_edge[1:-1, 1:-1] = False
        near = around[1:-1, 1:-1]
        if not at_edge.any() and inside.sum() < limit and len(np.unique(regions[near])) == 1:
            labels[inside] = labels[near][0]
    return labels


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(
        np.int64,
        st.tuples(st.integers(3, 14), st.integers(3, 9)),
        elements=st.sampled_from([NOTHING, 0, 0, 0, 1]),
    ),
    st.integers(1, 6),
    st.integers(1, 12),
)
def test_holes_are_filled_as_by_a_flood_of_the_whole_raster(labels, block_rows, limit):
    expected = _filled(labels, limit)
    traced = _trace(labels, 2, block_rows=block_rows, holes=Holes(limit, _area))
    for value in (0, 1):
        chosen = traced.polygons.to_shapely()[traced.labels == value]
        assert shapely.area(chosen).sum() == (expected == value).sum()
    assert traced.filled.sum() == ((labels == NOTHING) & (expected != NOTHING)).sum()
    assert traced.pixels.sum() == (labels != NOTHING).sum()
    assert not len(traced) or shapely.coverage_is_valid(traced.polygons.to_shapely())


def test_an_island_keeps_its_hole_open():
    labels = np.zeros((9, 9), np.int64)
    labels[2:7, 2:7] = NOTHING
    labels[4, 4] = 1
    traced = _trace(labels, 9, holes=Holes(1000, _area))
    assert sorted(_area(traced.polygons)) == [1, 81 - 25]


def test_filled_pixels_do_not_count_for_the_weight():
    labels = np.zeros((5, 5), np.int64)
    labels[2, 2] = NOTHING
    weights = np.where(labels == NOTHING, 9, 0.5).astype(np.float32)
    traced = _trace(labels, 5, block_rows=2, holes=Holes(2, _area), weights=weights)
    assert traced.weight.tolist() == [0.5]
    assert traced.least.tolist() == [0.5]
    assert (traced.pixels.tolist(), traced.filled.tolist()) == ([24], [1])
    assert traced.polygons.to_shapely()[0].equals(shapely.box(0, 0, 5, 5))
