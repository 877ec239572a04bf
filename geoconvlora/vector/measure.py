"""Areas and perimeters on the ellipsoid, of many polygons at once, in any CRS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoconvlora.scenes.ground import in_degrees
from geoconvlora.vector.ragged import Polygons
from geoconvlora.vector.scale import Scale, placed

Floats = NDArray[np.float64]

#: Edges across more longitude are cut before they are measured, as they are straight on the map.
_WIDE_DEGREES = 90.0
#: The same where the map is in longitude and latitude: a parallel is no geodesic.
_WIDE_DEGREES_GEOGRAPHIC = 0.25


@dataclass(frozen=True)
class Ruler:
    """Measures polygons of one CRS.

    Vertices are taken to longitude and latitude on the CRS's own ellipsoid, whichever body that
    is of; edges are geodesics, but those across more than a quarter degree of a geographic CRS are
    straight in longitude and latitude. Areas follow from authalic latitudes (Snyder 1987, equations
    3-11 and 3-12), which keep them exact, and the excess of spherical triangles; they agree with
    ``pyproj.Geod`` far below 0.01 %. A CRS without ellipsoid (engineering), and polygons that the
    CRS cannot place on it, are measured in the plane, in metres by the unit of the axes.

    Example:
        >>> square = shapely.box(500000, 0, 500100, 100)
        >>> area_m2, perimeter_m = Ruler(pyproj.CRS(32631)).measure(np.array([square]))
        >>> round(float(area_m2[0]), 1), round(float(perimeter_m[0]), 1)
        (10008.0, 400.2)
    """

    crs: pyproj.CRS
    affine: Affine | None = None
    """From pixels to the CRS, where :meth:`measure_pixels` is to be asked."""

    def measure_pixels(
        self, xy: Floats, rings: NDArray[np.int64], parts: NDArray[np.int64]
    ) -> tuple[Floats, Floats]:
        """Areas and perimeters of polygons in pixels of the grid, as :meth:`measure` gives them.

        Small polygons are measured by the grid's :class:`geoconvlora.vector.scale.Scale`, a hundred
        times faster, with errors of 0.001 % at most; the others as :meth:`measure` does.

        Args:
            xy: ``(V, 2)`` columns and rows.
            rings: ``(R + 1,)`` first vertex of each ring.
            parts: ``(n + 1,)`` first ring of each polygon, which is its outer one.
        """
        count = len(parts) - 1
        if not count:
            return np.empty(0), np.empty(0)
        area_m2, perimeter_m = np.empty(count), np.empty(count)
        good = np.zeros(count, bool)
        if self._to_geographic is not None:
            area_m2, perimeter_m, good = self._scale.measure(xy, rings, parts)
        others = np.flatnonzero(~good)
        if len(others):
            assert self.affine is not None, "pixels have a place"
            chosen, its_rings, its_parts = taken(xy, rings, parts, others)
            in_crs = np.stack(placed(self.affine, chosen[:, 0], chosen[:, 1]), axis=1)
            exact = self.measure_ragged(in_crs, its_rings, its_parts)
            area_m2[others], perimeter_m[others] = exact
        return area_m2, perimeter_m

    def measure(self, polygons: Polygons) -> tuple[Floats, Floats]:
        """Areas in m² and lengths of the outer outlines in m: two arrays ``(n,)``.

        Holes count for the area and not for the perimeter, as in ``pyproj.Geod``.
        """
        if not len(polygons):
            return np.empty(0), np.empty(0)
        _, xy, (rings, parts) = shapely.to_ragged_array(polygons)
        return self.measure_ragged(xy, rings, parts)

    def measure_ragged(
        self, xy: Floats, rings: NDArray[np.int64], parts: NDArray[np.int64]
    ) -> tuple[Floats, Floats]:
        """Do as :meth:`measure`, of polygons given by their vertices ``(V, 2)`` in the CRS."""
        polygons = np.asarray(
            shapely.from_ragged_array(
                shapely.GeometryType.POLYGON, np.ascontiguousarray(xy), (rings, parts)
            )
        )
        planar = (
            shapely.area(polygons) * self._unit_m**2,
            shapely.length(shapely.get_exterior_ring(polygons)) * self._unit_m,
        )
        if self._to_geographic is None:
            return planar
        lon, lat = self._to_geographic.transform(xy[:, 0], xy[:, 1])
        # Half around the Earth the shortest way between two vertices is another one.
        far = np.abs(np.diff(lon)) > self._wide_degrees
        far[rings[1:-1] - 1] = False  # from one ring to the next
        if far.any():
            ring = np.searchsorted(rings, np.flatnonzero(far), side="right") - 1
            wide = np.unique(np.searchsorted(parts, ring, side="right") - 1)
            polygons[wide] = shapely.segmentize(polygons[wide], self._longest_edge)
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
    def _scale(self) -> Scale:
        assert self.affine is not None, "asked only of grids"
        assert self._to_geographic is not None, "asked only where there is an ellipsoid"
        return Scale(self.affine, self._to_geographic, self._geod)

    @cached_property
    def _geod(self) -> pyproj.Geod:
        geod = self.crs.get_geod()
        assert geod is not None, "asked only where the CRS has an ellipsoid"
        return geod

    @cached_property
    def _to_geographic(self) -> pyproj.Transformer | None:
        geographic = in_degrees(self.crs)
        if geographic is None:
            return None
        return pyproj.Transformer.from_crs(self.crs, geographic, always_xy=True)

    @cached_property
    def _wide_degrees(self) -> float:
        return _WIDE_DEGREES_GEOGRAPHIC if self.crs.is_geographic else _WIDE_DEGREES

    @cached_property
    def _longest_edge(self) -> float:
        """Of what is cut: a quarter degree or a hundred kilometres, in units of the CRS."""
        longest = np.radians(_WIDE_DEGREES_GEOGRAPHIC) if self.crs.is_geographic else 1e5
        return float(longest) / self._unit_m

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


def taken(
    xy: Floats, rings: NDArray[np.int64], parts: NDArray[np.int64], rows: NDArray[np.intp]
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Some of the polygons, in the order of ``rows``, again as vertices, rings and parts."""
    ring_count = np.diff(parts)[rows]
    new_parts = np.concatenate([[0], np.cumsum(ring_count)])
    ring = np.repeat(parts[rows] - new_parts[:-1], ring_count) + np.arange(new_parts[-1])
    size = np.diff(rings)[ring]
    new_rings = np.concatenate([[0], np.cumsum(size)])
    vertex = np.repeat(rings[ring] - new_rings[:-1], size) + np.arange(new_rings[-1])
    return xy[vertex], new_rings, new_parts
