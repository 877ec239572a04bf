"""Polygons of an area, cut to what lies near a scene before they are projected there."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from geoconvlora.scenes.ground import full_turn

#: Parts into which a side is cut before it is bent into another CRS.
SIDE_PARTS = 32
#: How far from a place something is near it, in lengths of the place's longer side. The longest
#: sides that are cut off bend by less.
_MARGIN = 0.1


def only_polygons(shapes: Any) -> BaseGeometry:
    """Return the polygons among some valid geometries and their parts, joined.

    Mending or cutting a polygon may leave lines and points, which have no area.
    """
    parts = shapely.get_parts(shapely.get_parts(shapes))
    return shapely.union_all(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])


def near(polygons: NDArray[Any], crs: CRS, place: GeoBox) -> NDArray[Any]:
    """Return what lies near a place of polygons that reach far beyond it.

    A projection is right only near the place that it was made for, and a side that spans the Earth
    is not bent by moving its ends: what is cut gets short sides. The other polygons stay as they
    are, and so do all where their CRS has no coordinates for some of the place.

    Args:
        polygons: ``(n,)`` geometries.
        crs: Theirs.
        place: In any CRS.
    """
    x, y = _points(place, crs)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return polygons
    turn = 0.0
    if crs.is_geographic:
        # Across the antimeridian longitudes jump; here they go on, and polygons may have either.
        turn = full_turn(crs)
        x = x[0] + (x - x[0] + turn / 2) % turn - turn / 2
    side = max(np.ptp(x), np.ptp(y))
    margin = _MARGIN * side
    west, south, east, north = x.min(), y.min(), x.max(), y.max()
    boxes = [
        shapely.box(west + shift - margin, south - margin, east + shift + margin, north + margin)
        for shift in {-turn, 0.0, turn}
    ]
    reach = shapely.union_all(boxes)
    far = ~shapely.covers(reach, shapely.box(*shapely.bounds(polygons).T))
    cut = polygons.copy()
    cut[far] = shapely.segmentize(
        shapely.intersection(shapely.make_valid(polygons[far]), reach), side / SIDE_PARTS
    )
    return cut


def _points(place: GeoBox, crs: CRS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates, in another CRS, of a lattice over a place; the first is its middle."""
    assert place.crs is not None
    height, width = place.shape
    u, v = np.meshgrid(*(np.linspace(0, size, SIDE_PARTS + 1) for size in (width, height)))
    columns, rows = np.append(width / 2, u), np.append(height / 2, v)
    a, b, left, d, e, top = tuple(place.affine)[:6]
    to_crs = Transformer.from_crs(place.crs.to_wkt(), crs, always_xy=True)
    x, y = to_crs.transform(a * columns + b * rows + left, d * columns + e * rows + top)
    return x, y
