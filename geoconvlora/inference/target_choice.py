"""Which grid several maps are brought to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import CRS as ProjCRS
from pyproj.exceptions import CRSError

from geoconvlora.errors import ConfigError
from geoconvlora.inference.target import SAME_PIXEL, Target, pixels_of, turn_px
from geoconvlora.scenes import Window
from geoconvlora.scenes.ground import ground_sampling_distance

#: A band of rows must fit into memory, and GDAL counts columns in 32 bits.
MAX_SIDE = 4_000_000
#: Points along each side of a rectangle that is taken to another CRS.
_POINTS = 65
#: A resolution this near to the nominal one of the first map is meant to be that.
_NEARLY = 0.02

Bounds = tuple[float, float, float, float]


def choose_target(
    geoboxes: Sequence[GeoBox],
    *,
    dst_crs: str | None = None,
    res: float | None = None,
    bounds: Bounds | None = None,
) -> Target:
    """Return a grid for maps on several grids.

    Without ``dst_crs`` and ``res`` it is the first map's own grid, extended by whole pixels, so
    that this one is not resampled; otherwise pixels are square and begin at multiples of their
    size. It covers all maps, or ``bounds``. In degrees, where 181 and -179 are one place, maps are
    taken side by side, and the grid may go past the 180th meridian.

    Args:
        geoboxes: Grids of the maps.
        dst_crs: Another CRS, in any notation of PROJ.
        res: Pixel size in units of the CRS; None: the first map's, on the ground.
        bounds: Left, bottom, right and top in units of the CRS; widened to whole pixels.

    Raises:
        ConfigError: A CRS, a resolution or bounds that cannot work, or a grid without measure.

    Example:
        >>> west = GeoBox((10, 10), Affine(10, 0, 500_000, 0, -10, 5_500_000), "EPSG:32631")
        >>> east = GeoBox((10, 10), Affine(10, 0, 500_150, 0, -10, 5_500_050), "EPSG:32631")
        >>> tuple(choose_target([west, east]).geobox.shape)
        (15, 25)
    """
    first = geoboxes[0]
    assert first.crs is not None
    if res is not None and not (math.isfinite(res) and res > 0):
        raise ConfigError(f"resolution {res} is no pixel size: give a positive number")
    crs = first.crs if dst_crs is None else _crs_of(dst_crs)
    own = crs == first.crs and res is None
    if own:
        affine = _anchored(first.affine)
    else:
        side = res if res is not None else _like_on_the_ground(first, crs, bounds)
        affine = Affine(side, 0, 0, 0, -side, 0)
    if bounds is None:
        corners = np.array([_extent(geobox, affine, crs) for geobox in geoboxes])
        corners = _side_by_side(corners, affine, crs, own=own)
        _refuse_coarse(corners, res, crs)
    else:
        corners = np.array([_bounded(bounds, affine)])
    top, left, bottom, right = _whole(corners)
    if not max(bottom - top, right - left) <= MAX_SIDE:
        raise ConfigError(
            f"the target grid would have {bottom - top:,} x {right - left:,} pixels: give a "
            "coarser --res, smaller --bounds, or a CRS in which the scenes lie side by side "
            "(--dst-crs)"
        )
    return Target(affine, crs, Window(top, left, bottom - top, right - left))


def _anchored(affine: Affine) -> Affine:
    """Return the same grid, begun at the pixel that the CRS's origin lies in.

    Maps whose pixels lie on one grid then agree on where it begins, whichever comes first.
    """
    inverse, (a, b, _, d, e, _) = ~affine, tuple(affine)[:6]
    # A millionth of a pixel is rounding.
    column, row = (round(math.floor(at + 1e-6) - at, 6) for at in (inverse.c, inverse.f))
    return Affine(a, b, a * column + b * row + 0.0, d, e, d * column + e * row + 0.0)


def _crs_of(text: str) -> CRS:
    try:
        known = ProjCRS.from_user_input(text)
        crs = CRS(text)
    except (CRSError, ValueError) as error:
        raise ConfigError(
            f"{text!r} is no coordinate system that PROJ knows: give one such as EPSG:3035"
        ) from error
    if known.is_geocentric or (known.is_vertical and not known.is_compound):
        raise ConfigError(
            f"{text!r} ({known.name}) is a {known.type_name}, in which no map lies flat: give a "
            "projected or geographic one such as EPSG:3035 (--dst-crs)"
        )
    return crs


def _like_on_the_ground(first: GeoBox, crs: CRS, bounds: Bounds | None) -> float:
    """Pixel size in another CRS that covers as much ground as the first map's pixel."""
    nominal = math.sqrt(abs(first.affine.determinant))
    if bounds is None:
        assert first.crs is not None
        rows, columns = pixels_of(
            Window(0, 0, *map(int, first.shape)), 3, first.affine, first.crs, Affine.identity(), crs
        )
        x, y = float(columns[1, 1]), float(rows[1, 1])
    else:
        x, y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ConfigError(f"the first scene has no place in {crs}: choose another --dst-crs")
    # A small square around the place tells how long a unit is there.
    unit = 1e-4 if crs.geographic else 1.0
    around = GeoBox((2, 2), Affine(unit, 0, x - unit, 0, -unit, y + unit), crs)
    side = ground_sampling_distance(first) / ground_sampling_distance(around) * unit
    return nominal if abs(side / nominal - 1) < _NEARLY else float(f"{side:.3g}")


def _extent(geobox: GeoBox, affine: Affine, crs: CRS) -> tuple[float, float, float, float]:
    assert geobox.crs is not None
    whole = Window(0, 0, *map(int, geobox.shape))
    rows, columns = pixels_of(whole, _POINTS, geobox.affine, geobox.crs, affine, crs)
    if not (np.isfinite(rows).all() and np.isfinite(columns).all()):
        raise ConfigError(f"a scene reaches beyond what {crs} can show: choose another --dst-crs")
    return rows.min(), columns.min(), rows.max(), columns.max()


def _side_by_side(
    corners: NDArray[np.float64], affine: Affine, crs: CRS, *, own: bool
) -> NDArray[np.float64]:
    """Move extents ``(n, 4)`` of a grid in degrees by whole turns, so that they span the least.

    Args:
        corners: Top, left, bottom and right of each.
        affine: Of the grid.
        crs: Likewise.
        own: Whether the grid is the first map's, which stays where it is; otherwise their middle
            comes to lie between -180 and 180 degrees.
    """
    turn = turn_px(affine, crs)
    left, right = corners[:, 1], corners[:, 3]
    if turn is None or np.ptp(corners[:, 1::2]) <= turn / 2:
        return corners
    found = corners.copy()
    best = np.ptp(corners[:, 1::2])
    for start in np.sort(left):
        first = start + (left - start + SAME_PIXEL) % turn - SAME_PIXEL
        last = first + right - left
        if np.ptp([first.min(), last.max()]) < best - SAME_PIXEL:
            best = np.ptp([first.min(), last.max()])
            found[:, 1], found[:, 3] = first, last
    widest = max(turn, float((right - left).max()))
    if best > widest + SAME_PIXEL:
        # All around the Earth, and no ground twice.
        found[:, 3] = np.minimum(right, left.min() + widest)
        found[:, 1] = np.minimum(left, found[:, 3])
        return found
    if (found == corners).all():
        return corners
    if own:
        turns = (found[0, 1] - left[0]) / turn
    else:
        middle = affine.a * (found[:, 1].min() + found[:, 3].max()) / 2 + affine.c
        turns = np.ceil(middle / (turn * abs(affine.a)) - 0.5 - 1e-9) * np.sign(affine.a)
    found[:, 1::2] -= turn * turns
    return found


def _refuse_coarse(corners: NDArray[np.float64], res: float | None, crs: CRS) -> None:
    height, width = np.ptp(corners[:, ::2]), np.ptp(corners[:, 1::2])
    if res is not None and max(height, width) < 1:
        unit = ProjCRS(crs.to_wkt()).axis_info[0].unit_name
        raise ConfigError(
            f"a pixel of {res:g} ({unit}) is larger than all there is to map, {width * res:.3g} x "
            f"{height * res:.3g}: give a finer --res, in units of the target's CRS"
        )


def _bounded(bounds: Bounds, affine: Affine) -> tuple[float, float, float, float]:
    left, bottom, right, top = bounds
    if not (all(map(math.isfinite, bounds)) and left < right and bottom < top):
        raise ConfigError(
            f"bounds {', '.join(f'{each:g}' for each in bounds)} hold nothing: give left, bottom, "
            "right, top in units of the target's CRS"
        )
    a, b, x, d, e, y = tuple(~affine)[:6]
    corners = [(u, v) for u in (left, right) for v in (bottom, top)]
    columns, rows = [a * u + b * v + x for u, v in corners], [d * u + e * v + y for u, v in corners]
    return min(rows), min(columns), max(rows), max(columns)


def _whole(corners: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Widen to whole pixels, but not for a rounding error."""
    low = np.floor(corners[:, :2].min(axis=0) + SAME_PIXEL)
    high = np.ceil(corners[:, 2:].max(axis=0) - SAME_PIXEL)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
