"""Outlines of the regions of one block of rows, in pixel coordinates.

Everything in the block becomes a polygon, background and nodata too, and every polygon gets a
vertex wherever three regions meet. Together they are a coverage in the sense of GEOS: neighbours
have the same vertices along the edge that they share, so they can be simplified together.
"""

from __future__ import annotations

from array import array
from itertools import chain
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes

Polygons = NDArray[np.object_]
"""A one-dimensional array of ``shapely.Polygon``."""


def outlines(regions: NDArray[np.int32], first_row: int = 0) -> Polygons:
    """Polygons of regions that are numbered 1 to n, edges matched.

    Args:
        regions: ``(h, W)``, each number one 4-connected region, all of 1 to n present.
        first_row: Row of the block's top in the raster.

    Returns:
        ``(n,)`` polygons in pixels (x = column, y = row); the i-th belongs to region i + 1.
    """
    xy, rings, parts, order = array("d"), [0], [0], []
    moved = Affine.translation(0, first_row)
    for geometry, region in shapes(regions, connectivity=4, transform=moved):
        for ring in geometry["coordinates"]:
            xy.extend(chain.from_iterable(ring))
            rings.append(len(xy) // 2)
        parts.append(len(rings) - 1)
        order.append(int(region) - 1)
    drawn = _polygons(np.frombuffer(xy).reshape(-1, 2), np.asarray(rings), np.asarray(parts))
    polygons = np.empty_like(drawn)
    polygons[order] = drawn
    return insert_vertices(polygons, _junctions(regions) + np.array([0, first_row]))


def cut_to(polygons: Polygons, height: float, width: float) -> Polygons:
    """Let unsimplified outlines end where the raster's last, partial row and column end.

    Args:
        polygons: As from :func:`outlines`.
        height: In rows; more than the last row's top.
        width: In columns; more than the last column's left side.

    Returns:
        The same polygons, again an edge-matched coverage.
    """
    limit = np.array([width, height])
    cut: Polygons = shapely.transform(polygons, lambda xy: np.minimum(xy, limit))
    return cut


def simplify_inside(polygons: Polygons, tolerance_px: float) -> Polygons:
    """Simplify the edges between polygons of a block; its outer border keeps every vertex.

    Args:
        polygons: Edge-matched coverage, as from :func:`outlines`.
        tolerance_px: Square root of the area of the largest triangle that a vertex may cut off.

    Returns:
        The polygons in the same order, again an edge-matched coverage.
    """
    if tolerance_px == 0:
        return polygons
    simple: Polygons = shapely.coverage_simplify(polygons, tolerance_px, simplify_boundary=False)
    return simple


def insert_vertices(polygons: Polygons, points: NDArray[np.integer[Any]]) -> Polygons:
    """Add vertices at integer points that lie inside horizontal or vertical edges.

    Args:
        polygons: Polygons in pixels; oblique edges stay as they are.
        points: ``(k, 2)`` columns and rows; points that lie on no edge have no effect.

    Returns:
        The same polygons with the vertices added.
    """
    if not len(points) or not len(polygons):
        return polygons
    _, xy, (rings, parts) = shapely.to_ragged_array(polygons)
    start, end = xy[:-1], xy[1:]
    # The last vertex of a ring and the first of the next one are no edge.
    edge = np.ones(len(start), bool)
    edge[rings[1:-1] - 1] = False
    first = np.zeros(len(start), np.int64)
    count = np.zeros(len(start), np.int64)
    sorted_points: list[NDArray[np.float64]] = []
    for along, across in ((0, 1), (1, 0)):
        on = np.flatnonzero(edge & (start[:, across] == end[:, across]))
        stride = int(max(xy.max(), points.max())) + 2
        key = np.sort(points[:, across] * stride + points[:, along])
        low = start[on, across] * stride + np.minimum(start[on, along], end[on, along])
        high = start[on, across] * stride + np.maximum(start[on, along], end[on, along])
        begin = np.searchsorted(key, low, "right")
        count[on] = np.maximum(np.searchsorted(key, high, "left") - begin, 0)
        first[on] = begin + sum(len(p) for p in sorted_points)
        pair = np.empty((len(key), 2))
        pair[:, across], pair[:, along] = np.divmod(key, stride)
        sorted_points.append(pair)
    if not count.any():
        return polygons
    added = np.concatenate(sorted_points)
    # Position of each old vertex among all, and of each new one behind its edge's start.
    shift = np.concatenate([[0], np.cumsum(count)])
    out = np.empty((len(xy) + shift[-1], 2))
    out[np.arange(len(xy)) + shift] = xy
    owner = np.repeat(np.arange(len(start)), count)
    rank = np.arange(len(owner)) - shift[owner]
    forward = (end[owner] > start[owner]).any(axis=1)
    source = first[owner] + np.where(forward, rank, count[owner] - 1 - rank)
    out[owner + 1 + np.arange(len(owner))] = added[source]
    grown = np.concatenate([shift, shift[-1:]])
    return _polygons(out, rings + grown[rings], parts)


def _junctions(regions: NDArray[np.int32]) -> NDArray[np.int64]:
    """``(k, 2)`` corners inside the block where three edges meet: one polygon passes straight."""
    right = regions[:, 1:] != regions[:, :-1]
    down = regions[1:] != regions[:-1]
    degree = right[1:].astype(np.int8) + right[:-1] + down[:, 1:] + down[:, :-1]
    row, column = np.nonzero(degree == 3)
    return np.stack([column + 1, row + 1], axis=1)


def _polygons(
    xy: NDArray[np.float64], rings: NDArray[np.int64], parts: NDArray[np.int64]
) -> Polygons:
    drawn: Polygons = shapely.from_ragged_array(shapely.GeometryType.POLYGON, xy, (rings, parts))
    return drawn
