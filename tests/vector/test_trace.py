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


@settings(max_examples=150, deadline=None)
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


@settings(max_examples=200, deadline=None)
@given(rasters, tolerances)
def test_simplified_outlines_are_a_valid_coverage_of_the_same_rectangle(labels, simplify_px):
    _assert_clean(labels, simplify_px)


@pytest.mark.parametrize("simplify_px", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_outlines_stay_a_valid_coverage(name, simplify_px):
    _assert_clean(ADVERSARIAL[name], simplify_px)
