from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.features import shapes
from scipy import ndimage

from geoconvlora.vector.trace import BoundaryGraph

rasters = hnp.arrays(
    np.int64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14),
    elements=st.integers(0, 3),
)
tolerances = st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0, 5.0])


def _spiral(size: int) -> np.ndarray:
    row, column = np.indices((size, size))
    ring = np.minimum(np.minimum(row, column), np.minimum(size - 1 - row, size - 1 - column))
    return (ring + (row < column)) % 2


def _blobs(seed: int, size: int, classes: int = 4) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 2)
    return np.digitize(noise, np.quantile(noise, np.linspace(0, 1, classes + 1)[1:-1]))


ROW, COLUMN = np.indices((24, 19))
ADVERSARIAL = {
    "checkerboard": (ROW + COLUMN) % 2,
    "checkerboard of three": (ROW + COLUMN) % 3,
    "one-pixel rows": ROW % 2,
    "one-pixel columns": COLUMN % 2,
    "nested rings": np.maximum(abs(ROW - 11), abs(COLUMN - 9)) % 3,
    "diagonals": (ROW + COLUMN) // 2 % 2,
    "touching squares": ((ROW // 3 + COLUMN // 3) % 2),
    "spiral": _spiral(23),
    "holes that touch": np.where((ROW % 4 == COLUMN % 4) & (ROW % 4 < 2), 1, 0),
    "thin wedge": (COLUMN * 2 > ROW + 5) * 1 + (COLUMN * 2 > ROW + 7),
    "dots": ((ROW % 3 == 1) & (COLUMN % 3 == 1)).astype(int),
    "one label": np.zeros((24, 19), int),
    "one pixel": np.zeros((1, 1), int),
    "one row": np.array([[0, 0, 1, 2, 2, 0]]),
    "one column": np.array([[0, 0, 1, 2, 2, 0]]).T,
    "noise": np.random.default_rng(0).integers(0, 3, (40, 41)),
    "blobs": _blobs(0, 60),
}


def _outlines(labels, simplify_px=0.0, extent=None):
    graph = BoundaryGraph(labels.shape[1], simplify_px=simplify_px, extent=extent)
    graph.feed(labels, None)
    graph.close()
    graph.resolve()
    roots = np.flatnonzero(graph.is_root() & ~graph.open_roots())
    return graph.polygons(roots), graph.labels[roots], graph.pixels[roots]


def _assert_equal_to_rasterio(labels):
    """Equal as sets of points: rasterio leaves out vertices at which only a neighbour ends."""
    polygons, values, pixels = _outlines(labels)
    drawn = polygons.to_shapely()
    assert shapely.is_valid(drawn).all()
    assert shapely.area(drawn).tolist() == pixels.tolist()
    found = list(shapes(labels.astype(np.int32), connectivity=4))
    theirs = np.array([shapely.geometry.shape(geometry) for geometry, _ in found])
    inside = shapely.point_on_surface(theirs)
    ours, match = shapely.STRtree(drawn).query(inside, predicate="within")[::-1]
    assert sorted(match.tolist()) == list(range(len(theirs)))
    assert len(drawn) == len(theirs)
    assert shapely.equals(drawn[ours], theirs[match]).all()
    assert values[ours].tolist() == [int(found[i][1]) for i in match]


@settings(max_examples=80, deadline=None)
@given(rasters)
def test_outlines_equal_those_of_rasterio(labels):
    _assert_equal_to_rasterio(labels)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_outlines_equal_those_of_rasterio(name):
    _assert_equal_to_rasterio(ADVERSARIAL[name])


def _assert_clean(labels, simplify_px):
    stepped, values, _ = _outlines(labels)
    simple, same, _ = _outlines(labels, simplify_px)
    assert same.tolist() == values.tolist()
    drawn = simple.to_shapely()
    assert shapely.is_valid(drawn).all()
    assert shapely.coverage_is_valid(drawn)
    assert shapely.area(drawn).sum() == pytest.approx(labels.size)
    assert (shapely.area(drawn) > 0).all()
    assert shapely.union_all(drawn).equals(shapely.box(0, 0, *labels.shape[::-1]))
    before = {tuple(xy) for xy in stepped.xy.tolist()}
    assert {tuple(xy) for xy in simple.xy.tolist()} <= before
    # Regions keep their holes and the neighbours that they touch along an edge.
    np.testing.assert_array_equal(np.diff(simple.parts), np.diff(stepped.parts))


@settings(max_examples=100, deadline=None)
@given(rasters, tolerances)
def test_simplified_outlines_are_a_valid_coverage_of_the_same_rectangle(labels, simplify_px):
    _assert_clean(labels, simplify_px)


@pytest.mark.parametrize("simplify_px", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_outlines_stay_a_valid_coverage(name, simplify_px):
    _assert_clean(ADVERSARIAL[name], simplify_px)


@settings(max_examples=40, deadline=None)
@given(rasters, tolerances, st.floats(0.1, 1.0), st.floats(0.1, 1.0))
def test_outlines_end_where_the_last_row_and_column_really_end(labels, simplify_px, row, column):
    height, width = labels.shape
    end = height - 1 + row, width - 1 + column
    drawn = _outlines(labels, simplify_px, extent=end)[0].to_shapely()
    assert shapely.is_valid(drawn).all()
    assert shapely.coverage_is_valid(drawn)
    assert shapely.area(drawn).sum() == pytest.approx(end[0] * end[1])


@pytest.mark.parametrize("simplify_px", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("name", ["noise", "blobs", "diagonals", "nested rings"])
def test_no_more_area_changes_hands_than_the_removed_vertices_may_cut_off(name, simplify_px):
    stepped = _outlines(ADVERSARIAL[name])[0]
    simple = _outlines(ADVERSARIAL[name], simplify_px)[0]
    removed = np.diff(stepped.rings[stepped.parts]) - np.diff(simple.rings[simple.parts])
    moved = shapely.area(shapely.symmetric_difference(stepped.to_shapely(), simple.to_shapely()))
    assert (removed >= 0).all()
    assert (moved <= removed * simplify_px**2 + 1e-9).all()


def _removable(polygons, simplify_px):
    """Vertices of two arcs only whose triangle is small enough and holds no other vertex."""
    drawn = polygons.to_shapely()
    points = shapely.points(np.unique(polygons.xy, axis=0))
    tree = shapely.STRtree(points)
    found = 0
    for polygon in drawn:
        for ring in [polygon.exterior, *polygon.interiors]:
            xy = np.asarray(ring.coords)[:-1]
            for before, at, after in zip(np.roll(xy, 1, 0), xy, np.roll(xy, -1, 0), strict=True):
                triangle = shapely.Polygon([before, at, after])
                held = len(tree.query(triangle, predicate="intersects")) > 3
                found += triangle.area <= simplify_px**2 and not held and len(xy) > 4
    return found


def test_a_vertex_stays_only_if_it_cuts_off_too_much_or_something_is_in_the_way():
    labels = np.zeros((40, 40), int)
    rows, columns = np.indices(labels.shape)
    labels[(rows - 19) ** 2 + (columns - 21) ** 2 < 150] = 1
    simple = _outlines(labels, 1.5)[0]
    assert _removable(_outlines(labels)[0], 1.5) > 20
    # The corners of the raster stay in any case.
    assert _removable(simple.take(np.array([1])), 1.5) == 0


@pytest.mark.parametrize("simplify_px", [1.0, 2.0])
@pytest.mark.parametrize("name", ["noise", "blobs"])
def test_as_much_is_simplified_as_by_geos(name, simplify_px):
    stepped = _outlines(ADVERSARIAL[name])[0].to_shapely()
    theirs = shapely.coverage_simplify(stepped, simplify_px, simplify_boundary=False)
    ours = _outlines(ADVERSARIAL[name], simplify_px)[0]
    assert len(ours.xy) == pytest.approx(shapely.get_num_coordinates(theirs).sum(), rel=0.05)
