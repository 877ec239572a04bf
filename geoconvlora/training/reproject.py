"""Polygons from one CRS into another, with edges that stay where they were drawn."""

from __future__ import annotations

import math

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geoconvlora.training.burn import to_ground

_NEAR_PX = 512
"""Polygons are cut this far outside the grid, so that a label of half the globe is no burden, and
no vertex lies where the grid's CRS has no place for it."""
_TOLERANCE_PX = 1 / 32
"""How far an edge may be from the curve that it becomes in the other CRS."""
_FIRST_SEGMENT_PX = 256.0
_HALVINGS = 12

Bounds = tuple[float, float, float, float]


def crs_of(geobox: GeoBox) -> CRS:
    """The CRS of a grid, as pyproj has it."""
    return CRS.from_user_input(str(geobox.crs))


def bounds_in(geobox: GeoBox, crs: CRS) -> Bounds | None:
    """The rectangle around a grid in another CRS, with a margin.

    None where there is no such rectangle: across the antimeridian, or where a part of the grid
    has no place in the CRS.
    """
    rows, columns = geobox.shape
    near = shapely.box(-_NEAR_PX, -_NEAR_PX, columns + _NEAR_PX, rows + _NEAR_PX)
    (near_on_ground,) = to_ground(np.array([near]), geobox)
    corners: Bounds = tuple(shapely.bounds(near_on_ground).tolist())
    own = crs_of(geobox)
    if own.equals(crs, ignore_axis_order=True):
        return corners
    try:
        transformer = Transformer.from_crs(own, crs, always_xy=True)
        left, bottom, right, top = transformer.transform_bounds(*corners, densify_pts=64)
    except ProjError:
        return None
    if not all(map(math.isfinite, (left, bottom, right, top))) or left >= right or bottom >= top:
        return None
    # Between the points on the outline it may bulge a little.
    x, y = (right - left) / 16, (top - bottom) / 16
    return left - x, bottom - y, right + x, top + y


def reproject(polygons: NDArray[np.object_], crs: CRS, geobox: GeoBox) -> NDArray[np.object_]:
    """Polygons near a grid, in the grid's CRS.

    Edges are straight in the CRS that they were drawn in, and curves in another: they get as many
    vertices as keep them within 1/32 of the grid's pixel.

    Args:
        polygons: (N,) valid polygons.
        crs: Of the polygons.
        geobox: The grid.

    Returns:
        (N,) polygons; empty where a polygon lies far from the grid, and with infinite coordinates
        where it has no place in the grid's CRS.
    """
    target = crs_of(geobox)
    if target.equals(crs, ignore_axis_order=True):
        return polygons
    bounds = bounds_in(geobox, crs)
    if bounds is not None:
        polygons = _cut(polygons, bounds)
    transformer = Transformer.from_crs(crs, target, always_xy=True)
    pixel = math.sqrt(abs(float(geobox.affine.determinant)))
    length = _FIRST_SEGMENT_PX * _pixel_in(crs, geobox, bounds)
    dense = polygons
    for _ in range(_HALVINGS):
        dense = shapely.segmentize(polygons, length)
        if _largest_bend(dense, transformer) <= _TOLERANCE_PX * pixel:
            break
        length /= 2
    moved: NDArray[np.object_] = shapely.transform(
        dense, lambda xy: np.stack(transformer.transform(xy[:, 0], xy[:, 1]), axis=1)
    )
    return moved


def _cut(polygons: NDArray[np.object_], bounds: Bounds) -> NDArray[np.object_]:
    """Cut what reaches far beyond the bounds; the cuts lie outside of them."""
    left, bottom, right, top = bounds
    x, y = (right - left) / 8, (top - bottom) / 8
    wide = (left - x, bottom - y, right + x, top + y)
    low, high = shapely.bounds(polygons)[:, :2], shapely.bounds(polygons)[:, 2:]
    beyond = (low < wide[:2]).any(axis=1) | (high > wide[2:]).any(axis=1)
    if not beyond.any():
        return polygons
    cut = polygons.copy()
    pieces = shapely.intersection(polygons[beyond], shapely.box(*wide))
    cut[beyond] = shapely.make_valid(pieces, method="structure", keep_collapsed=False)
    return cut


def _pixel_in(crs: CRS, geobox: GeoBox, bounds: Bounds | None) -> float:
    """About the side of a pixel in units of a CRS."""
    if bounds is not None:
        area = (bounds[2] - bounds[0]) * (bounds[3] - bounds[1])
        rows, columns = geobox.shape
        return math.sqrt(area / ((rows + 2 * _NEAR_PX) * (columns + 2 * _NEAR_PX)))
    metres = [111_320.0 if c.is_geographic else 1.0 for c in (crs_of(geobox), crs)]
    return math.sqrt(abs(float(geobox.affine.determinant))) * metres[0] / metres[1]


def _largest_bend(polygons: NDArray[np.object_], transformer: Transformer) -> float:
    """The largest distance of an edge's middle from the straight line between its ends."""
    rings = shapely.get_rings(shapely.get_parts(polygons))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    if len(points) == 0:
        return 0.0
    same = ring[1:] == ring[:-1]
    starts, ends = points[:-1][same], points[1:][same]
    middles = (starts + ends) / 2
    a, b, m = (
        np.stack(transformer.transform(xy[:, 0], xy[:, 1]), axis=1)
        for xy in (starts, ends, middles)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        along = b - a
        across = (m - a)[:, 0] * along[:, 1] - (m - a)[:, 1] * along[:, 0]
        bend = np.abs(across) / np.hypot(along[:, 0], along[:, 1])
    finite = bend[np.isfinite(bend)]
    return float(finite.max()) if len(finite) else 0.0
