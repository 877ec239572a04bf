"""A part of several scenes' map, and what of each scene it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from geoconvlora.errors import ConfigError
from geoconvlora.inference.around_the_earth import sides_of
from geoconvlora.inference.fading import halo_of
from geoconvlora.inference.provenance import CELL_PX
from geoconvlora.inference.target import Target, pixels_of, turn_px
from geoconvlora.inference.warping import size_ratio
from geoconvlora.scenes import Window
from geoconvlora.scenes.area import Area, read_polygon
from geoconvlora.scenes.grid import nearest_integer

#: Places along the side of a window, of which those between cannot stray far.
_POINTS = 65
#: Pixels for neighbours that are interpolated from, with some to spare.
_SPARE_PX = 4


@dataclass(frozen=True)
class AskedArea:
    """What the user asked for.

    Attributes:
        aoi: A vector file of polygons.
        bounds: West, south, east and north of a box; with ``aoi``, what both share is meant.
        bounds_crs: The box's CRS; None: the target's.
    """

    aoi: str | Path | None = None
    bounds: Sequence[float] | None = None
    bounds_crs: str | None = None

    def on(self, target: Target, *, zoom_in: int = 1, zoom_out: int = 1) -> Area | None:
        """Return it on a target's endless grid, zoomed; None where nothing was asked for.

        It is whole pixels of the target, or of the coarser grid, that belong or do not.

        Raises:
            ConfigError: The file or the box cannot work, or does not reach the target.
        """
        asked = read_polygon(
            target.crs,
            aoi=self.aoi,
            bounds=self.bounds,
            bounds_crs=self.bounds_crs,
            place=target.geobox,
        )
        if asked is None:
            return None
        polygon, named = asked
        base = target.zoomed(zoom_out=zoom_out)
        area = Area.within(polygon, base.part(Window(0, 0, 1, 1)), zoom_in, base.window)
        if area is None:
            raise ConfigError(f"{named} does not reach the scenes")
        return area


def cut(target: Target, area: Area, *, zoom_in: int = 1, zoom_out: int = 1) -> Target:
    """Return the part of a target that an area on its zoomed grid reaches."""
    whole, window = target.window, area.window
    row, column, height, width = (
        side * zoom_out // zoom_in
        for side in (window.row, window.column, window.height, window.width)
    )
    inside = Window(row - whole.row, column - whole.column, height, width)
    inside = inside.clipped(whole.height, whole.width)
    part = Window(inside.row + whole.row, inside.column + whole.column, inside.height, inside.width)
    return Target(target.affine, target.crs, part)


def part_needed(geobox: GeoBox, target: Target, fade_px: float) -> Window | None:
    """Return the part of a map's grid on which a target depends; None where there is none.

    Args:
        geobox: The map's grid.
        target: What is joined.
        fade_px: Target pixels over which maps fade: so far beyond the target it matters where a
            map ends.
    """
    assert geobox.crs is not None
    whole = Window(0, 0, *map(int, geobox.shape))
    rows, columns = pixels_of(
        target.window, _POINTS, target.affine, target.crs, geobox.affine, geobox.crs
    )
    if not (np.isfinite(rows).all() and np.isfinite(columns).all()):
        return whole
    ratio = size_ratio(geobox, target)
    factor = nearest_integer(ratio)
    margin = factor * (halo_of(fade_px * ratio / factor) + _SPARE_PX)
    # Which scenes had a say is kept in cells that reach beyond the target. Pixels are not of one
    # size everywhere, hence a tenth more.
    span = max(np.ptp(rows), np.ptp(columns))
    margin += math.ceil(1.1 * ratio * (CELL_PX + _SPARE_PX) + 0.01 * span)
    top, left = math.floor(rows.min()) - margin, math.floor(columns.min()) - margin
    bottom, right = math.ceil(rows.max()) + margin, math.ceil(columns.max()) + margin
    turn = turn_px(geobox.affine, geobox.crs)
    if turn is not None:
        # What the target calls 181 degrees may be -179 on the map, or either.
        sides = sides_of(left, right, whole, turn)
        if sides:
            left, right = math.floor(left + sides[0] * turn), math.ceil(right + sides[-1] * turn)
    part = Window(top, left, bottom - top, right - left).clipped(whole.height, whole.width)
    return None if part.empty else part
