"""Measuring many small polygons of one grid: how long a step and how large a pixel is, and where.

Geodesics from vertex to vertex cost many times as much as tracing the polygon did. On a few
kilometres the ellipsoid's metric, seen in pixels, is so even that a table of it, a node every so
many pixels, does as well. Nodes lie at fixed pixels of the grid, so a polygon's measures do not
depend on which others are measured with it. Where the table is not good enough, it says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from geoconvlora.vector.compiled import compiled

Floats = NDArray[np.float64]

CELL_PX = 128
"""Pixels from node to node."""
STEP_PX = 8.0
"""Half of the step over which the metric at a node is found."""
WORST_CELL = 5e-6
"""Relative error of the table in a cell that is good enough."""
WORST_BEND = 1e-5
"""How much of its area a polygon may gain or lose because its edges are straight on the grid."""
MOST_CELLS = 2
"""Larger polygons would want more than the pixel's size at their centre."""


@dataclass(frozen=True)
class Scale:
    """The metric of a grid on the ellipsoid of its CRS.

    Args:
        affine: From pixels to the CRS.
        to_geographic: From the CRS to longitude and latitude in degrees.
        geod: The ellipsoid.
    """

    affine: Affine
    to_geographic: pyproj.Transformer
    geod: pyproj.Geod

    def measure(
        self, xy: Floats, rings: NDArray[np.int64], parts: NDArray[np.int64]
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Areas in m², lengths of outer outlines in m, and whether both are good: each ``(n,)``.

        Args:
            xy: ``(V, 2)`` columns and rows.
            rings: ``(R + 1,)`` first vertex of each ring.
            parts: ``(n + 1,)`` first ring of each polygon, which is its outer one.
        """
        # One axis at a time: of both numpy takes many times longer.
        least, most = (np.array([f(xy[:, 0]), f(xy[:, 1])]) for f in (np.min, np.max))
        first = np.floor(least / CELL_PX).astype(np.int64)
        last = np.floor(most / CELL_PX).astype(np.int64) + 1
        columns, rows = (
            np.arange(first[axis], last[axis] + 1, dtype=np.float64) * CELL_PX for axis in (0, 1)
        )
        nodes = self._metric(*np.meshgrid(columns, rows))
        middles = self._metric(*np.meshgrid(columns[:-1] + CELL_PX / 2, rows[:-1] + CELL_PX / 2))
        mean = (nodes[:, :-1, :-1] + nodes[:, 1:, :-1] + nodes[:, :-1, 1:] + nodes[:, 1:, 1:]) / 4
        size = np.stack([middles[0], np.sqrt(middles[0] * middles[2]), middles[2], middles[3]])
        with np.errstate(invalid="ignore", divide="ignore"):
            worst = np.abs((mean - middles) / size).max(axis=0)
            good_cell = worst <= WORST_CELL
        out = np.empty((len(parts) - 1, 5))
        _walk(
            np.ascontiguousarray(xy, np.float64),
            np.ascontiguousarray(rings, np.int64),
            np.ascontiguousarray(parts, np.int64),
            nodes,
            good_cell,
            first.astype(np.float64),
            out,
        )
        area_px, perimeter_m, bend, column, row = out.T
        area_m2 = area_px * _between(nodes[3], column, row)
        radius = self.geod.a
        with np.errstate(invalid="ignore"):
            good = bend / (12 * radius) <= WORST_BEND * area_m2
        return area_m2, perimeter_m, good

    def _metric(self, columns: Floats, rows: Floats) -> Floats:
        """``(4, ...)``: E, F, G and the area of a pixel; not finite where the CRS has no place.

        The length squared of a step of c columns and r rows is E c² + 2 F c r + G r².
        """
        steps = ((STEP_PX, 0), (-STEP_PX, 0), (0, STEP_PX), (0, -STEP_PX))
        right, left, below, above = (
            self._on_the_ellipsoid(columns + across, rows + down) for across, down in steps
        )
        with np.errstate(invalid="ignore"):
            column, row = (right - left) / (2 * STEP_PX), (below - above) / (2 * STEP_PX)
            area = np.linalg.norm(np.cross(column, row, axis=0), axis=0)
            dot = (column * row).sum(axis=0)
            return np.stack([(column**2).sum(axis=0), dot, (row**2).sum(axis=0), area])

    def _on_the_ellipsoid(self, columns: Floats, rows: Floats) -> Floats:
        """``(3, ...)`` geocentric, in metres: they know neither poles nor an antimeridian."""
        lon, lat = self.to_geographic.transform(*placed(self.affine, columns, rows))
        with np.errstate(invalid="ignore"):
            lon, lat = np.radians(lon), np.radians(lat)
            normal = self.geod.a / np.sqrt(1 - self.geod.es * np.sin(lat) ** 2)
            away = normal * np.cos(lat)
            height = normal * (1 - self.geod.es) * np.sin(lat)
            return np.stack([away * np.cos(lon), away * np.sin(lon), height])


def placed(affine: Affine, columns: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Coordinates in the CRS of places in pixels."""
    a = affine
    return a.a * columns + a.b * rows + a.c, a.d * columns + a.e * rows + a.f


def _between(values: Floats, columns: Floats, rows: Floats) -> Floats:
    """Values ``(h, w)`` at places in cells from the first node, linearly between nodes."""
    column = np.clip(np.nan_to_num(columns), 0, values.shape[1] - 1.000001)
    row = np.clip(np.nan_to_num(rows), 0, values.shape[0] - 1.000001)
    at_row, at_column = row.astype(np.int64), column.astype(np.int64)
    down, across = row - at_row, column - at_column
    upper = values[at_row, at_column] * (1 - across) + values[at_row, at_column + 1] * across
    lower = (
        values[at_row + 1, at_column] * (1 - across) + values[at_row + 1, at_column + 1] * across
    )
    between: Floats = upper * (1 - down) + lower * down
    return between


@compiled(
    "void(float64[:, ::1], int64[::1], int64[::1], float64[:, :, ::1], bool_[:, ::1], "
    "float64[::1], float64[:, ::1])"
)
def _walk(
    xy: Floats,
    rings: NDArray[np.int64],
    parts: NDArray[np.int64],
    nodes: Floats,
    good_cell: NDArray[np.bool_],
    first: Floats,
    out: Floats,
) -> None:
    """Of each polygon: area in pixels, perimeter, bend, and its centre in cells from the first.

    The bend is the sum of the edges' lengths to the third power, which bounds what lies between
    them and the geodesics; not a number for a polygon that the table is not good enough for.
    """
    for polygon in range(len(parts) - 1):
        start = rings[parts[polygon]]
        x_from, y_from = xy[start, 0], xy[start, 1]
        area = moment_x = moment_y = perimeter = bend = 0.0
        left = right = x_from
        top = bottom = y_from
        good = True
        for ring in range(parts[polygon], parts[polygon + 1]):
            outer = ring == parts[polygon]
            twice = x_sum = y_sum = 0.0
            for at in range(rings[ring], rings[ring + 1] - 1):
                x0, y0 = xy[at, 0], xy[at, 1]
                x1, y1 = xy[at + 1, 0], xy[at + 1, 1]
                cross = (x0 - x_from) * (y1 - y_from) - (x1 - x_from) * (y0 - y_from)
                twice += cross
                x_sum += cross * (x0 + x1 - 2 * x_from)
                y_sum += cross * (y0 + y1 - 2 * y_from)
                across = (x0 + x1) / 2 / CELL_PX - first[0]
                down = (y0 + y1) / 2 / CELL_PX - first[1]
                column = min(int(across), good_cell.shape[1] - 1)
                row = min(int(down), good_cell.shape[0] - 1)
                good &= good_cell[row, column]
                across -= column
                down -= row
                square = 0.0
                for term, factor in (
                    (0, (x1 - x0) ** 2),
                    (1, 2 * (x1 - x0) * (y1 - y0)),
                    (2, (y1 - y0) ** 2),
                ):
                    upper = (1 - across) * nodes[term, row, column]
                    upper += across * nodes[term, row, column + 1]
                    lower = (1 - across) * nodes[term, row + 1, column]
                    lower += across * nodes[term, row + 1, column + 1]
                    square += factor * ((1 - down) * upper + down * lower)
                length = np.sqrt(max(square, 0.0))
                bend += length**3
                if outer:
                    perimeter += length
                    left, right = min(left, x0), max(right, x0)
                    top, bottom = min(top, y0), max(bottom, y0)
            # Whichever way rings turn, holes are taken away.
            sign = np.sign(twice) if outer else -np.sign(twice)
            area += sign * twice / 2
            moment_x += sign * x_sum / 6
            moment_y += sign * y_sum / 6
        good &= max(right - left, bottom - top) <= MOST_CELLS * CELL_PX and area > 0
        out[polygon, 0] = area
        out[polygon, 1] = perimeter
        out[polygon, 2] = bend if good else np.nan
        out[polygon, 3] = (x_from + moment_x / area) / CELL_PX - first[0] if good else np.nan
        out[polygon, 4] = (y_from + moment_y / area) / CELL_PX - first[1] if good else np.nan
