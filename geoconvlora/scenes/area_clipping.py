"""Polygons of an area, brought to a scene: cut to what lies near, and on its side of the Earth."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from shapely.affinity import translate
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


def gone_on(projected: NDArray[Any], polygons: NDArray[Any], crs: CRS, target: CRS) -> NDArray[Any]:
    """Return projected polygons whose longitudes go on where those of the projection jump.

    A polygon around a pole stays as it is.

    Args:
        projected: ``(n,)`` geometries in ``target``.
        polygons: The same before they were projected.
        crs: Theirs.
        target: Another CRS; only of a geographic one longitudes jump.
    """
    if not target.is_geographic or crs == target:
        return projected
    turn = full_turn(target)
    west, _, east, _ = shapely.bounds(projected).T
    to_target = Transformer.from_crs(crs, target, always_xy=True)

    def bent(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(to_target.transform(xy[:, 0], xy[:, 1]), axis=1)

    def kept(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        found, before = bent(xy), xy[:, 0] * turn / full_turn(crs)
        found[:, 0] -= turn * np.round((found[:, 0] - before) / turn)
        return found

    whole = projected.copy()
    wide = np.isfinite(west) & np.isfinite(east)
    wide[wide] = east[wide] - west[wide] > turn / 2
    for index in np.flatnonzero(wide):
        if crs.is_geographic:
            whole[index] = shapely.transform(polygons[index], kept)
            continue
        left, bottom, right, top = shapely.bounds(polygons[index])
        # A side that spans the Earth is told from a jump by what lies between its ends.
        sides = shapely.segmentize(polygons[index], max(right - left, top - bottom) / SIDE_PARTS)
        whole[index] = _unwrapped(shapely.transform(sides, bent), turn) or projected[index]
    return whole


def beside(polygon: BaseGeometry, place: GeoBox) -> BaseGeometry:
    """Return a polygon on the side of the Earth that a place in the same CRS has its longitudes on.

    Of a geographic CRS 181 and -179 degrees are one place. A part that lies on the place in several
    ways is returned in all.
    """
    assert place.crs is not None
    crs = CRS(place.crs.to_wkt())
    parts = shapely.get_parts(polygon)
    west, _, east, _ = shapely.bounds(parts).T
    if not crs.is_geographic or not (np.isfinite(west).all() and np.isfinite(east).all()):
        return polygon
    turn, box = full_turn(crs), place.boundingbox
    first = np.floor((box.left - east) / turn) + 1
    last = np.ceil((box.right - west) / turn) - 1
    # What is away on every side stays where it is.
    away = first > last
    first, last = np.where(away, 0, first), np.where(away, 0, last)
    if not (first.any() or last.any()):
        return polygon
    turned = [
        translate(part, k * turn) if k else part
        for part, low, high in zip(parts, first, last, strict=True)
        for k in np.arange(low, high + 1)
    ]
    return only_polygons(turned)


def _unwrapped(polygon: BaseGeometry, turn: float) -> BaseGeometry | None:
    """The same with rings that go on where longitudes jump; None where one goes round a pole."""
    parts = []
    for part in shapely.get_parts(polygon):
        if part.geom_type != "Polygon":
            continue
        rings: list[NDArray[np.float64]] = []
        for ring in (part.exterior, *part.interiors):
            xy = shapely.get_coordinates(ring)
            x = np.unwrap(xy[:, 0], period=turn)
            if abs(x[-1] - x[0]) > turn / 2:
                return None
            x[-1] = x[0]
            if rings:
                # A hole lies where the outer ring does.
                outer = rings[0][:, 0]
                off = (outer.min() + outer.max() - x.min() - x.max()) / 2
                x += turn * np.round(off / turn)
            rings.append(np.stack([x, xy[:, 1]], axis=1))
        parts.append(shapely.Polygon(rings[0], rings[1:]))
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


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
