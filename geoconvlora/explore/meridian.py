"""Longitudes about the 180th meridian, where those of one map jump and those of another go on."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from geoconvlora.scenes.ground import full_turn

Geometries = NDArray[np.object_]
Floats = NDArray[np.float64]


def turn_of(crs: pyproj.CRS) -> float | None:
    """A full turn in the unit of a geographic CRS; None of others, which know none."""
    return full_turn(crs) if crs.is_geographic else None


def turns_to(x: Floats, middle: float, turn: float) -> Floats:
    """What to add to longitudes for them to lie within half a turn of a middle: whole turns.

    Example:
        >>> turns_to(np.array([-179.5, 179.5]), 180, 360).tolist()
        [360.0, 0.0]
    """
    # Zero has one sign.
    return turn * np.round((middle - x) / turn) + 0.0


def around(polygons: Geometries, turn: float, reach: tuple[float, float]) -> list[Geometries]:
    """Polygons where they are, a turn further west, and a turn further east.

    Args:
        polygons: In degrees, or what else a turn is in.
        turn: Full.
        reach: Longitudes: what lies beyond is not copied.

    Returns:
        Three arrays like ``polygons``; None where a polygon has nothing there.
    """
    parts, polygon = _parts(polygons)
    left, right = shapely.bounds(parts)[:, ::2].T
    found = [polygons]
    for shift in (-turn, turn):
        there = (left + shift < reach[1]) & (right + shift > reach[0])
        # One that goes around the Earth would meet itself.
        there &= right - left < turn
        copies: Geometries = np.full(len(polygons), None, object)
        _put(copies, _shifted(parts[there], np.full(int(there.sum()), shift)), polygon[there])
        found.append(copies)
    return found


def brought_to(polygons: Geometries, turn: float, middle: float | None) -> Geometries:
    """Polygons each part of which is whole turns from where it was, and nearest to a middle.

    Args:
        polygons: In degrees, or what else a turn is in.
        turn: Full.
        middle: Longitude; None: they stay, unless all together are narrower from 0 to a turn.
    """
    parts, polygon = _parts(polygons)
    if not len(parts):
        return polygons
    left, right = shapely.bounds(parts)[:, ::2].T
    shifts = turns_to((left + right) / 2, turn / 2 if middle is None else middle, turn)
    if middle is None and np.ptp([left + shifts, right + shifts]) >= np.ptp([left, right]):
        return polygons
    # Of a polygon of which a part moves, all parts are put together again.
    chosen = np.isin(polygon, polygon[shifts != 0])
    result = polygons.copy()
    _put(result, _shifted(parts[chosen], shifts[chosen]), polygon[chosen])
    return result


def _parts(polygons: Geometries) -> tuple[Geometries, NDArray[np.intp]]:
    """Those that have a place, and of which polygon each is."""
    parts, polygon = shapely.get_parts(polygons, return_index=True)
    placed = np.isfinite(shapely.bounds(parts)).all(axis=1)
    placed &= shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    return parts[placed], polygon[placed]


def _shifted(parts: Geometries, shifts: Floats) -> Geometries:
    vertices = shapely.get_num_coordinates(parts)
    shift = np.repeat(shifts, vertices)
    xy = shapely.get_coordinates(parts)
    moved: Geometries = shapely.set_coordinates(parts.copy(), xy + shift[:, None] * (1, 0))
    return moved


def _put(polygons: Geometries, parts: Geometries, polygon: NDArray[np.intp]) -> None:
    if len(parts):
        numbers, place = np.unique(polygon, return_inverse=True)
        polygons[numbers] = shapely.multipolygons(parts, indices=place)
