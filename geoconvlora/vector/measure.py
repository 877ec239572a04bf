"""Areas and perimeters on the ellipsoid, of many polygons at once, in any CRS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from geoconvlora.vector.ragged import Polygons

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ruler:
    """Measures polygons of one CRS.

    Vertices are taken to longitude and latitude on the CRS's own ellipsoid, whichever body that
    is of; edges are geodesics. Areas follow from authalic latitudes (Snyder 1987, equations 3-11
    and 3-12), which keep them exact, and the excess of spherical triangles; they agree with
    ``pyproj.Geod`` far below 0.01 %. A CRS without ellipsoid (engineering), and polygons that the
    CRS cannot place on it, are measured in the plane, in metres by the unit of the axes.

    Example:
        >>> square = shapely.box(500000, 0, 500100, 100)
        >>> area_m2, perimeter_m = Ruler(pyproj.CRS(32631)).measure(np.array([square]))
        >>> round(float(area_m2[0]), 1), round(float(perimeter_m[0]), 1)
        (10008.0, 400.2)
    """

    crs: pyproj.CRS

    def measure(self, polygons: Polygons) -> tuple[Floats, Floats]:
        """Areas in m² and lengths of the outer outlines in m: two arrays ``(n,)``.

        Holes count for the area and not for the perimeter, as in ``pyproj.Geod``.
        """
        if not len(polygons):
            return np.empty(0), np.empty(0)
        planar = (
            shapely.area(polygons) * self._unit_m**2,
            shapely.length(shapely.get_exterior_ring(polygons)) * self._unit_m,
        )
        if self._to_geographic is None:
            return planar
        _, xy, (rings, parts) = shapely.to_ragged_array(polygons)
        lon, lat = self._to_geographic.transform(xy[:, 0], xy[:, 1])
        # Edges of each ring, without the step from one ring to the next.
        edge = np.ones(len(xy), bool)
        edge[rings[1:] - 1] = False
        start = np.flatnonzero(edge)
        ring_of = np.repeat(np.arange(len(rings) - 1), np.diff(rings) - 1)
        ends = lon[start], lat[start], lon[start + 1], lat[start + 1]

        shell = np.zeros(len(rings) - 1, bool)
        shell[parts[:-1]] = True
        polygon_of = np.repeat(np.arange(len(polygons)), np.diff(parts))
        ring_area = self._ring_areas(*ends, ring_of, len(rings) - 1)
        area = np.bincount(polygon_of, np.where(shell, ring_area, -ring_area), len(polygons))
        _, _, length = self._geod.inv(*ends)
        outer = shell[ring_of]
        perimeter = np.bincount(polygon_of[ring_of[outer]], length[outer], len(polygons))
        placed = np.isfinite(area) & np.isfinite(perimeter)
        return np.where(placed, area, planar[0]), np.where(placed, perimeter, planar[1])

    def areas(self, polygons: Polygons) -> Floats:
        """Areas in m², ``(n,)``."""
        return self.measure(polygons)[0]

    @cached_property
    def _geod(self) -> pyproj.Geod:
        geod = self.crs.get_geod()
        assert geod is not None, "asked only where the CRS has an ellipsoid"
        return geod

    @cached_property
    def _to_geographic(self) -> pyproj.Transformer | None:
        geographic = self.crs.geodetic_crs
        if geographic is None or self.crs.get_geod() is None:
            return None
        return pyproj.Transformer.from_crs(self.crs, geographic, always_xy=True)

    @cached_property
    def _unit_m(self) -> float:
        axes = self.crs.axis_info
        return float(axes[0].unit_conversion_factor) if axes else 1.0

    def _ring_areas(
        self,
        lon0: Floats,
        lat0: Floats,
        lon1: Floats,
        lat1: Floats,
        ring_of: NDArray[np.intp],
        count: int,
    ) -> Floats:
        """Unsigned areas of rings in m², ``(count,)``; angles in degrees, one entry per edge."""
        # Differences of neighbours are exact; a modulo would round them to the precision of 180
        # degrees, which is a hundredth of a square metre.
        turn = lon1 - lon0
        turn = np.radians(turn - 360.0 * ((turn > 180).astype(float) - (turn < -180)))
        half0, half1 = self._authalic_half_tangent(lat0), self._authalic_half_tangent(lat1)
        # Between the edge and the equator: excess of a spherical quadrilateral.
        excess = 2 * np.arctan2(np.tan(turn / 2) * (half0 + half1), 1 + half0 * half1)
        total = np.abs(np.bincount(ring_of, excess, count))
        # A ring that goes once around the axis encloses a pole, not the equator.
        around = np.abs(np.bincount(ring_of, turn, count)) > np.pi
        return np.where(around, 2 * np.pi - total, total) * self._authalic[1]

    @cached_property
    def _authalic(self) -> tuple[float, float]:
        """Snyder's q at the pole, and the square of the authalic radius in m²."""
        polar = float(_snyder_q(np.ones(1), self._geod.es)[0])
        return polar, self._geod.a**2 * polar / 2

    def _authalic_half_tangent(self, lat: Floats) -> Floats:
        sine = np.clip(_snyder_q(np.sin(np.radians(lat)), self._geod.es) / self._authalic[0], -1, 1)
        half: Floats = sine / (1 + np.sqrt(1 - sine**2))
        return half


def _snyder_q(sine: Floats, e2: float) -> Floats:
    """Snyder 3-12 of the sine of the latitude; on a sphere its limit, twice the sine."""
    if e2 == 0:
        return 2 * sine
    e = np.sqrt(e2)
    q: Floats = (1 - e2) * (sine / (1 - e2 * sine**2) + np.arctanh(e * sine) / e)
    return q
