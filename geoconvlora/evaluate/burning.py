"""Polygons as pixels, a strip of rows at a time, on the prediction's grid."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from geoconvlora.evaluate.extents import Extent
from geoconvlora.evaluate.polygons import Geometries, PolygonLayer
from geoconvlora.evaluate.rasters import Ids, Mask
from geoconvlora.scenes.ground import full_turn

BACKGROUND = 0
"""Class of ground that no polygon covers."""


class BurntPolygons:
    """Class ids of polygons: a pixel has the class of the polygon that its centre lies in.

    Where polygons overlap, the smaller one lies on top; where there is none, the background is.

    Args:
        layer: In any CRS.
        ids: Class of each polygon, ``(n,)``.
        geobox: The grid.
    """

    def __init__(self, layer: PolygonLayer, ids: NDArray[np.int64], geobox: GeoBox) -> None:
        polygons = _in_pixels(layer.polygons, geobox)
        order = np.argsort(-shapely.area(polygons), kind="stable")
        self._polygons, self._ids = polygons[order], ids[order]
        self._tree = shapely.STRtree(self._polygons)
        self._width = int(geobox.shape[1])

    def read(self, row: int, rows: int) -> tuple[Ids, Mask]:
        """Ids ``(rows, W)`` from a row on, all of them known."""
        hits = np.sort(self._tree.query(shapely.box(0, row, self._width, row + rows)))
        ids = _burnt(self._polygons[hits], self._ids[hits], row, rows, self._width)
        return ids, np.ones(ids.shape, np.bool_)


class BurntExtent:
    """Pixels whose centres lie inside an extent.

    Args:
        extent: In any CRS.
        geobox: The grid.
    """

    def __init__(self, extent: Extent, geobox: GeoBox) -> None:
        parts = shapely.get_parts(extent.to_crs(grid_crs(geobox)).area)
        self._parts = _in_pixels(all_around(parts, geobox), geobox)
        self._tree = shapely.STRtree(self._parts)
        self._width = int(geobox.shape[1])

    def read(self, row: int, rows: int) -> Mask:
        """Whether pixels ``(rows, W)`` from a row on lie inside."""
        hits = self._tree.query(shapely.box(0, row, self._width, row + rows))
        inside = _burnt(self._parts[hits], np.ones(len(hits), np.int64), row, rows, self._width)
        return inside > 0


def grid_crs(geobox: GeoBox) -> pyproj.CRS:
    """The CRS of a grid that has one."""
    assert geobox.crs is not None
    return pyproj.CRS(geobox.crs.to_wkt())


def all_around(polygons: Geometries, geobox: GeoBox) -> Geometries:
    """Polygons of a grid in degrees, with what of them lies on it a turn further east or west.

    A grid may go past the 180th meridian, and so may polygons, or be cut there.
    """
    crs = grid_crs(geobox)
    if not crs.is_geographic or not len(polygons):
        return polygons
    turn = full_turn(crs)
    box = geobox.boundingbox
    parts, polygon = shapely.get_parts(polygons, return_index=True)
    reach = shapely.bounds(parts)[:, ::2]
    joined: Geometries = polygons.copy()
    for shift in (-turn, turn):
        here = (reach[:, 0] + shift < box.right) & (reach[:, 1] + shift > box.left)
        copies = shapely.transform(parts[here], lambda xy, by=(shift, 0.0): xy + np.array(by))
        for number, copy in zip(polygon[here], copies, strict=True):
            joined[number] = shapely.union(joined[number], copy)
    return joined


def _in_pixels(polygons: Geometries, geobox: GeoBox) -> Geometries:
    inverse = ~geobox.affine
    matrix = np.array([[inverse.a, inverse.b], [inverse.d, inverse.e]])
    offset = np.array([inverse.c, inverse.f])
    moved: Geometries = shapely.transform(polygons, lambda xy: xy @ matrix.T + offset)
    return moved


def _burnt(polygons: Geometries, ids: NDArray[np.int64], row: int, rows: int, width: int) -> Ids:
    if not len(polygons):
        return np.full((rows, width), BACKGROUND, np.uint16)
    burnt: Ids = rasterize(
        zip(polygons, ids.tolist(), strict=True),
        out_shape=(rows, width),
        transform=Affine.translation(0, row),
        fill=BACKGROUND,
        dtype=np.uint16,
    )
    return burnt
