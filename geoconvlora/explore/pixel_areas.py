"""How large each pixel of a grid is on the ground."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoconvlora.scenes.ground import ground_sampling_distance
from geoconvlora.vector.measure import Ruler

Floats = NDArray[np.float64]

_NODE_M = 10_000.0
"""About how far apart pixels are that are measured; between them areas are linear to 1e-6."""
_MOST_PX = 256


@dataclass(frozen=True)
class PixelAreas:
    """Areas in m² of a grid's pixels on the ellipsoid of its CRS, as polygons are measured.

    Neither degrees nor Web Mercator nor a zone's scale factor falsify them. Some pixels are
    measured, at fixed places of the grid, and those between are interpolated.

    Example:
        >>> from affine import Affine
        >>> grid = GeoBox((2, 2), Affine(0.001, 0, 9, 0, -0.001, 60), "EPSG:4326")
        >>> PixelAreas(grid).of_rows(0, 1).round().tolist()
        [[6217.0, 6217.0]]
    """

    geobox: GeoBox

    def of_rows(self, start: int, stop: int) -> Floats:
        """Areas of whole rows, ``(stop - start, W)``."""
        rows, columns = self._places
        above, down = _between(rows, np.arange(start, stop))
        before, across = _between(columns, np.arange(self.geobox.shape[1]))
        nodes = self._nodes[above[0] : above[-1] + 2]
        by_row = nodes[:, before] * (1 - across) + nodes[:, before + 1] * across
        above, down = above - above[0], down[:, None]
        areas: Floats = by_row[above] * (1 - down) + by_row[above + 1] * down
        return areas

    @cached_property
    def _places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of measured pixels: every n-th, and the last."""
        gsd_m = ground_sampling_distance(self.geobox)
        step = int(np.clip(_NODE_M / gsd_m, 1, _MOST_PX))
        rows, columns = (
            np.append(np.arange(0, max(1, size - 1), step), size - 1) for size in self.geobox.shape
        )
        return rows, columns

    @cached_property
    def _nodes(self) -> Floats:
        """Areas of the measured pixels, ``(rows, columns)``."""
        assert self.geobox.crs is not None
        row, column = np.meshgrid(*self._places, indexing="ij")
        corners = [(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)]
        rings = np.stack([(column + right, row + below) for below, right in corners])
        rings = np.moveaxis(rings, (0, 1), (-2, -1)).reshape(-1, len(corners), 2)
        a, b, left, d, e, top = tuple(self.geobox.affine)[:6]
        placed = rings @ np.array([[a, d], [b, e]]) + (left, top)
        ruler = Ruler(pyproj.CRS.from_wkt(self.geobox.crs.to_wkt()))
        areas: Floats = ruler.areas(shapely.polygons(placed)).reshape(row.shape)
        return areas


def _between(
    places: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.intp], Floats]:
    """Which place is before each wanted one, and how far that is on the way to the next."""
    before = np.clip(np.searchsorted(places, wanted, side="right") - 1, 0, len(places) - 2)
    length = np.maximum(places[before + 1] - places[before], 1)
    return before, (wanted - places[before]) / length
