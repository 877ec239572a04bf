"""The plane that everything on a page lies in: the first scene's own CRS."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyproj
from affine import Affine
from odc.geo.geobox import GeoBox

from geoconvlora.explore.meridian import turn_of, turns_to
from geoconvlora.scenes.ground import pixel_sides

Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top."""

_PIXELS_WITHOUT_RASTER = 4096
"""Pixels along the longer side that a page of polygons alone has at zoom 0."""


@dataclass(frozen=True)
class Plane:
    """What everything on a page is brought to: a CRS, and in degrees a side of the Earth.

    Attributes:
        crs: Of all that is shown.
        middle: In degrees, the longitude within half a turn of which things are shown, so that
            neighbours across the 180th meridian are neighbours on the page; None until the first
            thing is known.
    """

    crs: pyproj.CRS
    middle: float | None = None

    def about(self, bounds: Bounds) -> Plane:
        """The same, with the middle of bounds where it has none."""
        if self.middle is not None:
            return self
        return replace(self, middle=(bounds[0] + bounds[2]) / 2)

    def shift(self, bounds: Bounds) -> float:
        """What to add to x to bring bounds to this side: whole turns in degrees, else 0.

        Example:
            >>> Plane(pyproj.CRS(4326), 180.0).shift((-180.0, -17.0, -179.5, -16.0))
            360.0
        """
        turn = turn_of(self.crs)
        if turn is None or self.middle is None:
            return 0.0
        middle = np.array((bounds[0] + bounds[2]) / 2)
        return float(turns_to(middle, self.middle, turn))


@dataclass(frozen=True)
class PageGrid:
    """Where the page's pixels are.

    Attributes:
        crs: Of all that is shown.
        bounds: Of all that is shown, in the CRS.
        metres: Length on the ground of one unit of x and of y, at the centre.
        pixel_m: Side on the ground of a pixel of the screen at zoom 0.
    """

    crs: pyproj.CRS
    bounds: Bounds
    metres: tuple[float, float]
    pixel_m: float

    @classmethod
    def around(cls, crs: pyproj.CRS, bounds: Bounds, pixels: Iterable[float]) -> PageGrid:
        """Make the grid of a page.

        Args:
            crs: Of the page.
            bounds: What it shows.
            pixels: Sides of rasters' pixels in units of y of the CRS: the smallest becomes a pixel
                of the screen.

        Example:
            >>> grid = PageGrid.around(pyproj.CRS(32631), (0, 0, 4e3, 4e3), [10.0])
            >>> round(grid.unit[0], 1)
            10.0
        """
        left, bottom, right, top = bounds
        step = max(right - left, top - bottom) / 1000 or 1.0
        middle = Affine(step, 0, (left + right - step) / 2, 0, -step, (bottom + top + step) / 2)
        height_m, width_m = pixel_sides(GeoBox((1, 1), middle, crs))
        metres = width_m / step, height_m / step
        sides_m = [side * metres[1] for side in pixels]
        longest_m = max((right - left) * metres[0], (top - bottom) * metres[1])
        pixel_m = min(sides_m, default=longest_m / _PIXELS_WITHOUT_RASTER or 1.0)
        return cls(crs, bounds, metres, pixel_m)

    @property
    def unit(self) -> tuple[float, float]:
        """Units of x and y of the CRS that are a pixel of the screen at zoom 0.

        They differ where the CRS is in degrees, so that shapes look as they are on the ground.
        """
        return self.pixel_m / self.metres[0], self.pixel_m / self.metres[1]

    @property
    def crs_name(self) -> str:
        """Its EPSG code where there is one, else its name."""
        code = self.crs.to_epsg()
        return str(self.crs.name) if code is None else f"EPSG:{code}"


def union(all_bounds: Iterable[Bounds]) -> Bounds:
    """Bounds of everything.

    Example:
        >>> union([(0, 0, 1, 1), (2, -1, 3, 0)])
        (0, -1, 3, 1)
    """
    lefts, bottoms, rights, tops = zip(*all_bounds, strict=True)
    return min(lefts), min(bottoms), max(rights), max(tops)


def usable(bounds: Iterable[float]) -> bool:
    """Whether bounds are numbers."""
    return all(math.isfinite(side) for side in bounds)
