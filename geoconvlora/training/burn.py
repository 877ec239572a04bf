"""Polygons in pixel coordinates of a grid, found by window and burnt into it.

A window of a grid holds exactly what the same part of the whole grid holds, whatever the window.
"""

from __future__ import annotations

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from geoconvlora.scenes import Window

_STEPS = 2.0**20
"""Vertices lie on this part of a pixel. A vertex meant to be on a pixel's edge or centre then is,
in spite of the noise of projected coordinates, and GDAL's arithmetic is exact where it must
decide: the decision is the same in every window."""
_BLOCK_PX = 256


class PixelPolygons:
    """Polygons that are burnt in their order: later ones lie on top.

    Args:
        polygons: (N,) polygons or multipolygons in pixel coordinates, x to the right and y down.
        all_touched: Burn all pixels that a polygon touches, and not only those whose centre it
            covers.
    """

    def __init__(self, polygons: NDArray[np.object_], *, all_touched: bool = False) -> None:
        snapped = shapely.transform(polygons, lambda xy: np.round(xy * _STEPS) / _STEPS)
        self._parts, self._places = shapely.get_parts(snapped, return_index=True)
        self._tree = shapely.STRtree(self._parts)
        self._all_touched = all_touched

    def numbers(self, window: Window) -> NDArray[np.int32]:
        """Places of the polygons in their list, counted from 1, (h, w); 0 where there is none."""
        if not self._all_touched:
            return self._burn(window)
        # GDAL clips lines to the window before it follows them, and rounds as it goes. Blocks of
        # the whole grid make that the same for every window.
        numbers = np.zeros((window.height, window.width), dtype=np.int32)
        for block in _blocks_under(window):
            common = _common(window, block)
            numbers[common.slices_within(window)] = self._burn(block)[common.slices_within(block)]
        return numbers

    def covers(self, window: Window) -> NDArray[np.bool_]:
        """Whether there is any polygon, (h, w)."""
        return self.numbers(window) > 0

    def area(self, window: Window) -> float:
        """Pixels of a window that the polygons cover, by area; they should not overlap."""
        box = box_of(window)
        near = shapely.make_valid(self._parts[self._tree.query(box, predicate="intersects")])
        return float(shapely.area(shapely.intersection(near, box)).sum())

    def _burn(self, window: Window) -> NDArray[np.int32]:
        shape = (window.height, window.width)
        hits = np.sort(self._tree.query(box_of(window)))
        if len(hits) == 0:
            return np.zeros(shape, dtype=np.int32)
        numbers: NDArray[np.int32] = rasterize(
            ((self._parts[hit], int(self._places[hit]) + 1) for hit in hits),
            out_shape=shape,
            transform=Affine.translation(window.column, window.row),
            all_touched=self._all_touched,
            dtype=np.int32,
        )
        return numbers


def to_pixels(polygons: NDArray[np.object_], geobox: GeoBox) -> NDArray[np.object_]:
    """From coordinates of a grid's CRS to its pixel coordinates."""
    matrix, offset = _matrix(~geobox.affine)
    moved: NDArray[np.object_] = shapely.transform(polygons, lambda xy: xy @ matrix + offset)
    return moved


def to_ground(polygons: NDArray[np.object_], geobox: GeoBox) -> NDArray[np.object_]:
    """From pixel coordinates of a grid to coordinates of its CRS."""
    matrix, offset = _matrix(geobox.affine)
    moved: NDArray[np.object_] = shapely.transform(polygons, lambda xy: xy @ matrix + offset)
    return moved


def box_of(window: Window) -> shapely.Polygon:
    """The rectangle of a window's pixels."""
    box: shapely.Polygon = shapely.box(
        window.column, window.row, window.column + window.width, window.row + window.height
    )
    return box


def _matrix(affine: Affine) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array([[affine.a, affine.d], [affine.b, affine.e]]), np.array([affine.c, affine.f])


def _blocks_under(window: Window) -> list[Window]:
    rows, columns = (
        range(start // _BLOCK_PX * _BLOCK_PX, start + size, _BLOCK_PX)
        for start, size in ((window.row, window.height), (window.column, window.width))
    )
    return [Window(row, column, _BLOCK_PX, _BLOCK_PX) for row in rows for column in columns]


def _common(one: Window, other: Window) -> Window:
    top, left = max(one.row, other.row), max(one.column, other.column)
    bottom = min(one.row + one.height, other.row + other.height)
    right = min(one.column + one.width, other.column + other.width)
    return Window(top, left, bottom - top, right - left)
