from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label

from geoconvlora.vector.trace import insert_vertices, outlines, simplify_inside

rasters = hnp.arrays(
    np.int64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.integers(0, 3),
)


def _regions(labels):
    return label(labels, background=-1, connectivity=1).astype(np.int32)


@settings(max_examples=60, deadline=None)
@given(rasters)
def test_outlines_cover_every_pixel_of_their_region_and_nothing_else(labels):
    regions = _regions(labels)
    polygons = outlines(regions)
    rows, columns = np.indices(labels.shape)
    for region, polygon in enumerate(polygons, start=1):
        inside = shapely.contains_xy(polygon, columns + 0.5, rows + 0.5)
        np.testing.assert_array_equal(inside, regions == region)
        assert polygon.area == (regions == region).sum()


@settings(max_examples=60, deadline=None)
@given(rasters)
def test_outlines_are_a_valid_coverage(labels):
    polygons = outlines(_regions(labels))
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)


@settings(max_examples=80, deadline=None)
@given(rasters, st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_simplified_outlines_are_a_valid_coverage_of_the_same_rectangle(labels, tolerance_px):
    polygons = simplify_inside(outlines(_regions(labels)), tolerance_px)
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)
    assert shapely.area(polygons).sum() == pytest.approx(labels.size)
    assert (shapely.area(polygons) > 0).all()


def test_simplification_at_one_pixel_removes_the_steps_of_a_diagonal():
    steps = np.tri(30, dtype=np.int64)
    stepped = outlines(_regions(steps))
    smooth = simplify_inside(stepped, 1.0)
    assert shapely.get_num_coordinates(stepped).sum() > 100
    assert shapely.get_num_coordinates(smooth).sum() < 20


def test_outlines_start_at_the_row_of_the_block():
    polygon = outlines(np.ones((2, 3), np.int32), first_row=512)[0]
    assert polygon.bounds == (0, 512, 3, 514)


def test_a_neighbour_on_a_straight_edge_gives_it_a_vertex():
    regions = np.array([[1, 1], [2, 3]], np.int32)
    assert (1, 1) in outlines(regions)[0].exterior.coords


@pytest.mark.parametrize("reverse", [False, True])
def test_inserted_vertices_keep_the_order_along_the_edge(reverse):
    box = shapely.box(0, 0, 9, 4)
    box = box.reverse() if reverse else box
    points = np.array([[5, 0], [2, 0], [7, 0], [0, 3], [3, 2], [9, 4]])
    (grown,) = insert_vertices(np.array([box]), points)
    assert grown.is_valid
    assert grown.equals(box)
    assert shapely.get_num_coordinates(grown) == 5 + 4
