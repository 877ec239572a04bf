from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import shapely
import shapely.affinity
from affine import Affine

from geoconvlora.vector.ragged import RaggedPolygons

SQUARE = shapely.box(0, 0, 4, 3, ccw=False)
RING = shapely.Polygon(
    [(10, 0), (10, 9), (19, 9), (19, 0)],
    [[(11, 1), (12, 1), (12, 2), (11, 2)], [(14, 4), (15, 4), (15, 6), (14, 6)]],
)
THREE = np.array([SQUARE, RING, shapely.box(30, 30, 31, 32)])


def _same(ragged: RaggedPolygons, polygons) -> bool:
    return shapely.to_wkb(ragged.to_shapely()).tolist() == shapely.to_wkb(polygons).tolist()


def test_polygons_come_back_as_they_were():
    assert _same(RaggedPolygons.from_shapely(THREE), THREE)


@pytest.mark.parametrize("polygons", [THREE, THREE[1:2], THREE[:0]])
def test_wkb_is_shapelys(polygons):
    ragged = RaggedPolygons.from_shapely(polygons)
    written, offsets = ragged.to_wkb()
    own = [written[a:b].tobytes() for a, b in pairwise(offsets)]
    assert own == [shapely.to_wkb(p, byte_order=1) for p in polygons]


@pytest.mark.parametrize("polygons", [THREE, THREE[:0]])
def test_bounds_are_those_of_the_shells(polygons):
    bounds = RaggedPolygons.from_shapely(polygons).bounds()
    np.testing.assert_array_equal(bounds, shapely.bounds(polygons))


@pytest.mark.parametrize("rows", [[2, 0], [], [1, 1], [False, True, True]])
def test_rows_are_taken_in_the_order_asked_for(rows):
    rows = np.array(rows, bool if rows and isinstance(rows[0], bool) else int)
    assert _same(RaggedPolygons.from_shapely(THREE).take(rows), THREE[rows])


def test_wkb_of_taken_rows_starts_at_their_first_vertex():
    written, offsets = RaggedPolygons.from_shapely(THREE).take(np.array([1])).to_wkb()
    assert shapely.from_wkb(written[: offsets[1]].tobytes()).equals(RING)


def test_joined_polygons_follow_each_other():
    ragged = RaggedPolygons.from_shapely(THREE)
    joined = RaggedPolygons.join([ragged, RaggedPolygons.empty(), ragged.take(np.array([0]))])
    assert _same(joined, np.concatenate([THREE, THREE[:1]]))
    assert len(RaggedPolygons.join([])) == 0


@pytest.mark.parametrize(
    "affine",
    [Affine(10, 0, 500, 0, -10, 900), Affine(10, 0, 500, 0, 10, 900), Affine(8, 6, 5, 6, -8, 9)],
    ids=["north-up", "south-up", "rotated"],
)
def test_shells_of_traced_polygons_are_counter_clockwise_in_every_frame(affine):
    # Rows count downwards: what is clockwise by numbers is counter-clockwise on the screen.
    traced = RaggedPolygons.from_shapely(np.array([SQUARE]))
    (moved,) = traced.moved(affine).to_shapely()
    matrix = [affine.a, affine.b, affine.d, affine.e, affine.c, affine.f]
    assert moved.equals(shapely.affinity.affine_transform(SQUARE, matrix))
    assert moved.exterior.is_ccw
