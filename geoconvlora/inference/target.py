"""The grid that several maps are brought to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio.warp
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import CRS as ProjCRS
from rasterio.crs import CRS as RasterCRS

from geoconvlora.scenes import Window
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.ground import full_turn
from geoconvlora.scenes.opening import RASTER_FAULTS

#: Part of a pixel by which grids may differ and still be the same.
SAME_PIXEL = 1e-4


@dataclass(frozen=True)
class Target:
    """A rectangle of whole pixels on a grid without end.

    Attributes:
        affine: Of the endless grid.
        crs: Likewise.
        window: The rectangle; its place on the endless grid does not depend on the bounds asked
            for, so whatever is cut by absolute rows and columns of that grid does not either.
    """

    affine: Affine
    crs: CRS
    window: Window

    @classmethod
    def of(cls, geobox: GeoBox) -> Target:
        """Return a grid that begins at its first pixel."""
        assert geobox.crs is not None
        return cls(geobox.affine, geobox.crs, Window(0, 0, *map(int, geobox.shape)))

    @property
    def geobox(self) -> GeoBox:
        """The rectangle's grid."""
        return self.part(self.window)

    def part(self, window: Window) -> GeoBox:
        """Return the grid of a window of the endless grid."""
        corner = moved(self.affine, window.row, window.column)
        return GeoBox((window.height, window.width), corner, self.crs)

    def turned(self, turns: int) -> Target:
        """Return the rectangle of a grid in degrees with longitudes higher by whole turns."""
        a, b, x, d, e, y = tuple(self.affine)[:6]
        x += turns * full_turn(ProjCRS(self.crs.to_wkt()))
        return Target(Affine(a, b, x, d, e, y), self.crs, self.window)

    def begun_at(self, multiple: int) -> Target:
        """Return the rectangle begun at a row and a column that ``multiple`` divides."""
        top, left = (at // multiple * multiple for at in (self.window.row, self.window.column))
        height = self.window.height + self.window.row - top
        width = self.window.width + self.window.column - left
        return Target(self.affine, self.crs, Window(top, left, height, width))

    def zoomed(self, *, zoom_in: int = 1, zoom_out: int = 1) -> Target:
        """Return the grid with finer or coarser pixels, the last ones maybe reaching beyond.

        Args:
            zoom_in: Times finer; 1 where ``zoom_out`` is used.
            zoom_out: Times coarser; divides the rectangle's first row and column.
        """
        k, window = zoom_out / zoom_in, self.window
        a, b, x, d, e, y = tuple(self.affine)[:6]
        sides = (-(-side * zoom_in // zoom_out) for side in (window.height, window.width))
        return Target(
            Affine(a * k, b * k, x, d * k, e * k, y),
            self.crs,
            Window(window.row * zoom_in // zoom_out, window.column * zoom_in // zoom_out, *sides),
        )


def moved(affine: Affine, row: int, column: int) -> Affine:
    """Return the affine of a grid that begins at another pixel."""
    a, b, x, d, e, y = tuple(affine)[:6]
    return Affine(a, b, a * column + b * row + x, d, e, d * column + e * row + y)


def project(
    x: NDArray[np.float64], y: NDArray[np.float64], source: CRS, target: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take points from one CRS to another, by GDAL's own choice of operation; inf where none is."""
    if source == target:
        return x, y
    try:
        with raster_environment():
            found = rasterio.warp.transform(
                RasterCRS.from_wkt(source.to_wkt()),
                RasterCRS.from_wkt(target.to_wkt()),
                x.ravel().tolist(),
                y.ravel().tolist(),
            )
    except RASTER_FAULTS:
        nowhere = np.full(x.shape, np.inf)
        return nowhere, nowhere
    return np.reshape(found[0], x.shape), np.reshape(found[1], y.shape)


def turn_px(affine: Affine, crs: CRS) -> float | None:
    """Columns around the Earth of a grid in degrees; None of others."""
    if not crs.geographic or affine.b or affine.d:
        return None
    return full_turn(ProjCRS(crs.to_wkt())) / abs(float(affine.a))


def pixels_of(
    window: Window, points: int, source: Affine, crs: CRS, target: Affine, target_crs: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows and columns on another grid of ``points`` x ``points`` places over a window.

    Where longitudes would jump, they go on.
    """
    rows = np.linspace(window.row, window.row + window.height, points)
    columns = np.linspace(window.column, window.column + window.width, points)
    column, row = np.meshgrid(columns, rows)
    a, b, left, d, e, top = tuple(source)[:6]
    x, y = project(a * column + b * row + left, d * column + e * row + top, crs, target_crs)
    if target_crs.geographic and target_crs != crs:
        x = _gone_on(x, full_turn(ProjCRS(target_crs.to_wkt())))
    a, b, left, d, e, top = tuple(~target)[:6]
    with np.errstate(invalid="ignore"):
        return d * x + e * y + top, a * x + b * y + left


def _gone_on(x: NDArray[np.float64], turn: float) -> NDArray[np.float64]:
    """Longitudes ``(h, w)`` of a lattice without jumps; as they are around a pole."""
    if not np.isfinite(x).all():
        return x
    edge = np.unwrap(x[:, :1], period=turn, axis=0)
    found = np.unwrap(x, period=turn, axis=1) + (edge - x[:, :1])
    return found if (np.abs(np.diff(found, axis=0)) <= turn / 2).all() else x
